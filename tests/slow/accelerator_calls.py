"""程序包的每个公开函数在假想的加速器 sim 上各算一次，与 CPU 的结果比：python tests/slow/accelerator_calls.py

两种摆法：网络在 sim、图在 CPU（结果该在 CPU）；网络和图都在 sim（结果该在 sim）。加 --no-float64 时 sim 不收 float64。
打印一行一个：名字、摆法、差多少或错在哪里；有一个不对就以 1 退出。由 test_accelerator.py 在单独的进程里运行。
"""

import dataclasses
import os
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

os.environ["CNNLAB_PROFILE"] = "quick"
os.environ["CNNLAB_BARS"] = "0"
os.environ["MPLBACKEND"] = "Agg"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import simulated_accelerator
import torch

TOLERANCE = 1e-5
# 结果总在 CPU 上的：不从图来，或本来就是给人看的数
ON_CPU = """orientation_tuning receptive_field expanded_kernels class_image channel_image coarse_to_fine code_image natural_statistics
    segment_from_saliency to_pil save_image save_animation grid_cells grid_positions cluster_photos
    effective_receptive_field rank_correlation correlation channel_correlation row_agreement weight fit train_stylizer fit_generator reproduce explore"""
# 不碰张量，或只是取数据、画图、造别的东西：下面各行用到它们
NOT_COMPUTED = """STYLIZER_HELD_OUT DECODER_HELD_OUT face_labels break_even equal_steps window_starts available_models digits
    image_folder imagenette stl10 photo photos style_image texture_image class_gallery shortcut_photos outlined_photos
    object_mask load_image run_profile load_model load_digit_network load_shortcut_network load_stylizer load_decoder
    VisionModel ImageGenerator ConditionalNorm StylizationNetwork FeatureDecoder comparison_gallery facet_gallery layer_gallery stylizer_film ImageSet PhotoFolder Result Ascent Descent
    Painting ledger use_style show_source Choice workbench adam lbfgs sgd objective class_score channel half_squared_norm
    image_prior gram_distance feature_distance content_terms style_terms texture_terms stylization_loss compose clamp
    random_crop random_rotate random_scale jitter pad robust_transforms center_bias CodeImage PixelImage start_image grating
    count_kernels cascade_layers content_layer_of texture_layers copied_regions"""


def world(model_device: str, image_device: str) -> SimpleNamespace:
    """一组小的数据：网络在 `model_device`，图和特征在 `image_device`。"""
    import cnnlab
    from cnnlab.core import profiles

    profiles._chosen["device"] = torch.device(model_device)
    generator = torch.Generator().manual_seed(0)
    photos = cnnlab.photos("animals", size=96)[:12]
    digits, digit_labels = cnnlab.digits(60)
    given = {
        "image": cnnlab.load_image("panda", 96),
        "other": cnnlab.load_image("koala", 96),
        "album": photos.images,
        "style": cnnlab.style_image("waves", 64),
        "features": torch.randn(40, 60, generator=generator),
        "points": torch.randn(40, 2, generator=generator),
        "labels": torch.arange(40) % 4,
        "heat": torch.rand(1, 96, 96, generator=generator),
        "mask": torch.rand(1, 96, 96, generator=generator) > 0.5,
        "activation": torch.randn(2, 6, 9, 9, generator=generator),
        "weight": torch.randn(8, 3, 5, 5, generator=generator),
        "code": torch.rand(2, 128, generator=generator),
        "digits": digits,
        "digit_labels": digit_labels,
    }
    made = {key: value.to(image_device) for key, value in given.items()}
    networks = {
        "model": cnnlab.load_model(),
        "lite": cnnlab.load_model("efficientnet_lite0"),
        "classifier": cnnlab.load_digit_network("classifier"),
        "generator": cnnlab.load_digit_network("generator"),
        "stylizer": cnnlab.load_stylizer(),
        "shortcut": cnnlab.load_shortcut_network(),
        "decoder": cnnlab.load_decoder(),
    }
    photos = dataclasses.replace(photos, images=made["album"])
    return SimpleNamespace(**made, **networks, photos=photos, folder=tempfile.mkdtemp())


def calls(w) -> dict:
    """{名字: 算它的函数}；名字是公开的名字，或“名字 说明”。"""
    import cnnlab as c
    from cnnlab import Ascent, Descent, Painting

    quick = {"steps": 2, "size": 48}
    some = {"target": 388}
    # 只用一个阶段：Adam 换阶段后的第一步放大舍入误差
    terms = {
        "class_score": -c.class_score(388),
        "channel": -c.channel("fire4", 3),
        "half_squared_norm": -c.half_squared_norm("fire4"),
        "image_prior": c.image_prior(c.total_variation),
        "feature_distance": c.feature_distance(
            c.activations_of(w.model, w.other, "fire3")["fire3"], "fire3"
        ),
        "gram_distance": c.gram_distance(
            c.gram_matrix(c.activations_of(w.model, w.other, "fire3")["fire3"]), "fire3"
        ),
    }

    def loss(term, transform=None):
        found = c.objective(w.model, term, transform=transform)
        return lambda: found(w.image)

    def descended(term, **options):
        return lambda: c.optimize_image(w.image, c.objective(w.model, term), steps=2, **options)

    def hooked():
        with c.record_activations(w.model, ["conv1", "fire4"]) as found:
            w.model(w.image)
        return found

    def ruled():
        leaf = w.image.clone().requires_grad_()
        with c.override_relu_gradient(w.model, "guided"):
            (gradient,) = torch.autograd.grad(w.model(leaf)[0, 388], leaf)
        return gradient

    def fourier():
        picture = c.FourierImage(image=w.image)
        return c.optimize_image(picture, c.objective(w.model, terms["channel"]), steps=2)

    def trained():
        torch.manual_seed(0)
        network = c.StylizationNetwork(1, widths=(4, 8, 8), blocks=1)
        run = c.train_stylizer(
            network, w.model, w.photos, [w.style], steps=2, size=48, batch_size=2
        )
        return run.losses

    def generated():
        torch.manual_seed(0)
        network = c.ImageGenerator(width=4)
        run = c.fit_generator(network, w.classifier, w.digits, "code", steps=2, code_noise=0.1)
        return run.losses

    def fitted():
        torch.manual_seed(0)
        network = torch.nn.Linear(60, 4).to(w.features.device)
        batches = c_batches(w.features, w.labels, batch_size=8)
        cost = torch.nn.functional.cross_entropy
        return c.fit(network, lambda net, b: cost(net(b[0]), b[1]), batches, steps=3).losses

    def saved(result):
        path = c.save_image(result, f"{w.folder}/result.png")
        return c.reproduce(path).image

    def paneled():
        panel = c.explore(
            c.saliency_map, model=w.model, photo=["panda", "koala"], category="大熊猫",
            photo_size=64,
        )  # fmt: skip
        panel.run()
        panel.wait()
        return panel.outcome.result

    def wrapped():
        named = dict.fromkeys(("mean", "std"), (0.5, 0.5, 0.5))
        return c.wrap_model(w.model.network, **named)(w.image)

    from cnnlab.engine.training import shuffled_batches as c_batches
    from cnnlab.show import doctor

    maps = w.activation
    found = {
        "VisionModel": lambda: w.model(w.image),
        "wrap_model": wrapped,
        "VisionModel features": lambda: w.model.features(w.album[:2]),
        "VisionModel top": lambda: [row[0][1] for row in w.model.top(w.album[:2])],
        "efficientnet_lite0": lambda: w.lite(w.image),
        "digit classifier": lambda: w.classifier(w.digits[:3]),
        "digit generator": lambda: w.generator(w.code),
        "stylizer": lambda: w.stylizer(
            w.image, [0.5] + [0.5 / (w.stylizer.n_styles - 1)] * (w.stylizer.n_styles - 1)
        ),
        "shortcut network": lambda: w.shortcut(w.image),
        "decoder": lambda: w.decoder(c.activations_of(w.model, w.image, "fire8")["fire8"]),
        "weight": lambda: w.model.weight("conv1"),
        "activations_of": lambda: c.activations_of(w.model, w.image, ["conv1", "fire9"]),
        "record_activations": hooked,
        "override_relu_gradient": ruled,
        "doctor": lambda: [repr(doctor.doctor(w.model, w.image))],
        "resize": lambda: c.resize(w.image, 50),
        "to_pil": lambda: torch.tensor(list(c.to_pil(w.image).tobytes())[:999]),
        "save_animation": lambda: [
            c.save_animation(w.album[:2], f"{w.folder}/a.gif").stat().st_size
        ],
        "correlation": lambda: c.correlation(w.features, w.features.flip(1)),
        "rank_correlation": lambda: c.rank_correlation(w.features[0], w.features[1]),
        "frequency_share": lambda: c.frequency_share(w.image),
        "halve_and_restore": lambda: c.halve_and_restore(w.image),
        "shuffle_blocks": lambda: c.shuffle_blocks(w.image, 8),
        "natural_statistics": loss(c.natural_statistics(w.model, size=64)),
        "class_scores": lambda: c.class_scores(w.model, w.image, 388),
        "score_gradient": lambda: c.score_gradient(w.model, w.image, 388),
        **{f"objective {name}": loss(term) for name, term in terms.items()},
        "objective transform": loss(terms["channel"], c.robust_transforms()),
        "optimize_image": descended([terms["feature_distance"], terms["image_prior"]]),
        "optimize_image lbfgs": descended(terms["gram_distance"], optimizer="lbfgs"),
        "optimize_image sgd": descended(
            terms["channel"],
            optimizer=c.sgd(normalize="mean"),
            transform=[c.jitter(4), c.center_mask()],
            after_step=[
                c.gaussian_blur(1.0, every=1),
                c.clip_small_norm(5),
                c.clip_small_contribution(5),
            ],
        ),
        "PhaseImage": lambda: c.PhaseImage(w.album[:2])(),
        "log_probability": loss(c.log_probability(388)),
        "similarity": lambda: c.objective(w.model, c.similarity("fire4"))(w.album[:3]),
        "FourierImage": fourier,
        "blur": lambda: c.blur(w.image, 1.5),
        "center_mask": lambda: c.center_mask()(w.image),
        "clip_small_norm": lambda: c.clip_small_norm(10)(w.image, w.image, 0),
        "clip_small_contribution": lambda: c.clip_small_contribution(10)(w.image, w.other, 0),
        "gaussian_blur": lambda: c.gaussian_blur(1.0, every=1)(w.image, w.image, 0),
        "l2": lambda: c.l2(w.image),
        "total_variation": lambda: c.total_variation(w.image),
        "gram_matrix": lambda: c.gram_matrix(maps),
        "fit": fitted,
        # 开始之前
        "altered_photos": lambda: c.altered_photos(w.album),
        "best_correlations": lambda: c.best_correlations(maps, c.sobel(w.album[:2])),
        "finite_difference": lambda: [
            c.finite_difference(lambda x: (x**2).sum(), w.image, (0, 1, 5, 7), step=1e-2)
        ],
        "layer_probe": lambda: c.layer_probe(
            w.model, w.album, c.altered_photos(w.album), ["conv1", "fire9"]
        ),
        "map_correlations": lambda: c.map_correlations(maps),
        "sobel": lambda: c.sobel(w.image),
        # 卷积核
        "gabor_similarity": lambda: c.gabor_similarity(w.weight.mean(1)),
        "kernel_tiles": lambda: c.kernel_tiles(w.weight),
        "match_patches": lambda: c.match_patches(w.weight, w.image),
        "orientation_tuning": lambda: c.orientation_tuning(w.model, "conv1", angles=4),
        "orientation_index": lambda: c.orientation_index(w.features.abs()),
        "channel_correlation": lambda: c.channel_correlation(maps, maps.flip(1)),
        "expanded_kernels": lambda: c.expanded_kernels(w.model, "fire2", [0, 1]),
        "expanded_kernels image": lambda: c.expanded_kernels(
            w.model, "fire2", [0, 1], image=w.image
        ),
        "kernel_planes": lambda: c.kernel_planes(w.weight),
        "plane_agreement": lambda: c.plane_agreement(w.weight),
        "plane_roughness": lambda: c.plane_roughness(w.weight),
        "plane_sheet": lambda: c.plane_sheet(c.kernel_planes(w.weight)),
        "predicted_maps": lambda: c.predicted_maps(
            w.model,
            w.image,
            "fire2",
            c.expanded_kernels(w.model, "fire2", [0, 1]).to(w.image.device),
        ),
        "shuffled_within": lambda: c.shuffled_within(w.weight),
        # 激活图、图块
        "activation_tiles": lambda: c.activation_tiles(maps[0]),
        "auc": lambda: c.auc(w.features[:20], w.features[20:]),
        "dead_channels": lambda: c.dead_channels(maps),
        "mask_iou": lambda: c.mask_iou(maps[:1].abs(), w.mask, 0.2),
        "pick_and_test": lambda: list(c.pick_and_test(w.features[:20], w.features[20:])),
        "effective_receptive_field": lambda: c.effective_receptive_field(
            w.model, w.album[:2], "fire4"
        ),
        "image_maxima": lambda: list(c.image_maxima(w.model, w.album, "fire4", [1, 2]))[:2],
        "mass_pixels": lambda: [c.mass_pixels(w.heat[0])],
        "max_activating_patches": lambda: patches(
            c.max_activating_patches(w.model, w.album, "fire4", [1, 2], 3)
        ),
        "max_activating_patches photos": lambda: patches(
            c.max_activating_patches(w.model, w.photos, "fire4", [1, 2], 3, one_per_image=False)
        ),
        **{
            f"ranked_patches {part}": lambda part=part: patches(
                c.ranked_patches(w.model, w.album, "fire4", [1, 2], 3, part=part)
            )
            for part in ("middle", "random")
        },
        "receptive_field": lambda: list(c.receptive_field(w.model, "fire4").box(2, 3, (96, 96))),
        "row_agreement": lambda: c.row_agreement(w.labels[:12].view(3, 4), ["a", "b", "c", "d"]),
        "row_similarity": lambda: c.row_similarity(w.album[:6].unflatten(0, (2, 3))),
        "guided_patches": lambda: c.guided_patches(
            w.model, c.max_activating_patches(w.model, w.album, "fire4", [1], 2), "fire4"
        ),
        # 特征
        "extract_features": lambda: c.extract_features(w.model, w.album),
        "extract_features layers": lambda: c.extract_features(w.model, w.album, ["fire2", "fire9"]),
        "found_again": lambda: c.found_again(w.features, w.features + 0.1),
        "nearest_neighbors": lambda: list(
            c.nearest_neighbors(w.features, w.features, 3, exclude_self=True)
        ),
        "nearest_neighbors cosine": lambda: list(
            c.nearest_neighbors(w.features[:3], w.features, 3, "cosine")
        ),
        "pixel_vectors": lambda: c.pixel_vectors(w.album),
        "randomized_copy": lambda: c.randomized_copy(w.model)(w.image),
        "retrieval_score": lambda: list(c.retrieval_score(w.features, w.labels.tolist()))[:3],
        "conditional_affinities": lambda: c.conditional_affinities(w.features, 8),
        "explained_variance": lambda: c.explained_variance(w.features),
        "grid_cells": lambda: c.grid_cells(w.points, (6, 7)),
        "grid_positions": lambda: c.grid_positions(w.points, (6, 7)),
        "image_grid": lambda: c.image_grid(w.points[:12], w.album, cell=16),
        "joint_affinities": lambda: c.joint_affinities(c.conditional_affinities(w.features, 8)),
        "map_divergence": lambda: c.map_divergence(
            c.joint_affinities(c.conditional_affinities(w.features, 8)), w.points
        ),
        "neighbor_purity": lambda: [c.neighbor_purity(w.features, w.labels, 3)],
        "pca": lambda: c.pca(w.features).abs(),
        "trustworthiness": lambda: [c.trustworthiness(w.features, w.points, 5)],
        "tsne": lambda: c.tsne(w.features, 8, steps=250),
        "vote_accuracy": lambda: [c.vote_accuracy(w.features, w.labels, 3)],
        # 解释
        "average_per_pixel": lambda: c.average_per_pixel(
            c.occlusion_map(w.model, w.image, 388, window=32, stride=32),
            (96, 96),
            window=32,
            stride=32,
        ),
        "covered_image": lambda: c.covered_image(w.image, 3, 4),
        "occlusion_map": lambda: c.occlusion_map(w.model, w.image, 388, window=48, stride=24),
        "occlusion_map all": lambda: c.occlusion_map(
            w.model, w.image, None, window=48, stride=48, output="all", fill="grey"
        ),
        "saliency_map": lambda: c.saliency_map(w.model, w.image, "大熊猫"),
        "gradient_times_input": lambda: c.gradient_times_input(w.model, w.image, 388),
        "smooth_grad": lambda: c.smooth_grad(w.model, w.image, 388, samples=2),
        "integrated_gradients": lambda: c.integrated_gradients(
            w.model, w.image, 388, steps=3, baseline=(0.1, 0.2, 0.3)
        ),
        "grad_cam": lambda: c.grad_cam(w.model, w.image, 388, "fire9"),
        "grad_cam lite": lambda: c.grad_cam(w.lite, w.image, 388, "block16"),
        "class_activation_map": lambda: c.class_activation_map(w.model, w.image, 388),
        "class_activation_map lite": lambda: c.class_activation_map(w.lite, w.image, 388),
        "segment_from_saliency": lambda: c.segment_from_saliency(w.image, w.heat),
        "adversarial_step": lambda: c.adversarial_step(w.model, w.image, 388),
        "fooling_image": lambda: c.fooling_image(w.model, w.image, 1, steps=2),
        "guided_gradient": lambda: c.guided_gradient(w.model, w.image, **some),
        "deconvnet_gradient": lambda: c.deconvnet_gradient(
            w.model, w.image, layer="fire4", channel=2
        ),
        "ruled_gradient": lambda: c.ruled_gradient(w.model, w.image, lambda g, s: g * s, **some),
        "curve_area": lambda: c.curve_area(w.features),
        "deletion_curve": lambda: c.deletion_curve(w.model, w.image, 388, w.heat, steps=3),
        "insertion_curve": lambda: c.insertion_curve(w.model, w.image, 388, w.heat, steps=3),
        "edge_map": lambda: c.edge_map(w.image),
        **{
            f"explain {method}": lambda method=method: c.explain(
                w.model, w.image, 388, method, layer="fire9", rounds=2
            )
            for method in (
                "gradient",
                "guided",
                "grad_cam",
                "class_activation_map",
                "occlusion",
                "edges",
            )
        },
        "mass_inside": lambda: c.mass_inside(w.heat, w.mask),
        "randomize_layers": lambda: c.randomize_layers(w.model, ["conv10"])(w.image),
        # 合成
        "class_image": lambda: c.class_image(w.model, 388, **quick).image,
        "class_image pixels": lambda: (
            c.class_image(
                w.model,
                [388, 9],
                **quick,
                settings=Ascent(
                    parameterization="pixel",
                    robust=False,
                    blur=0.5,
                    small_norm=3,
                    natural=1,
                    tv=0.1,
                    l2_weight=0.1,
                ),
            ).image
        ),
        "class_image views": lambda: (
            c.class_image(w.model, 388, **quick, settings=Ascent(crop=0.3, views=2)).image
        ),
        "channel_image": lambda: c.channel_image(w.model, "fire4", 3, "center", **quick).image,
        "accentuate": lambda: c.accentuate(w.model, w.image, 388, steps=1).image,
        "coarse_to_fine": lambda: (
            c.coarse_to_fine(
                w.model,
                388,
                stages=((48, 56, 2, 0.05), (64, 72, 1, 0.05)),
                settings=Ascent(margin=4),
            ).image
        ),
        "class_ranks": lambda: c.class_ranks(w.model, w.image, 388),
        "photo_as_class": lambda: c.photo_as_class(w.model, w.image, 9, steps=2),
        "score_kept": lambda: c.score_kept(w.model, w.image, 388),
        "scores_before_relu": lambda: c.scores_before_relu(w.model, w.image, 388),
        "class_facets": lambda: c.class_facets(w.model, 388, w.album, facets=2, steps=2).image,
        "cluster_photos": lambda: c.cluster_photos(w.features, 3),
        "facet_starts": lambda: c.facet_starts(w.album, w.features[:12], w.labels[:12]),
        "code_image": lambda: c.code_image(w.classifier, [3, 5], w.generator, steps=3).image,
        "fit_generator": generated,
        "nearest_distance": lambda: list(c.nearest_distance(w.image, w.album)),
        "photo_features": lambda: c.photo_features(w.model, w.album),
        "change_wavelength": lambda: c.change_wavelength(w.other - w.image),
        "channel_growth": lambda: list(c.channel_growth(w.model, w.image, w.other, "fire4")),
        "dream": lambda: c.dream(w.model, w.image, "fire4", steps=2, octaves=2).image,
        "dream guide": lambda: (
            c.dream(w.model, w.image, "fire4", steps=2, octaves=1, guide=w.other).image
        ),
        "dream_zoom": lambda: c.dream_zoom(w.model, w.image, "fire4", frames=2, steps=1, octaves=1),
        "feature_error": lambda: c.feature_error(w.model, w.image, w.other, "fire4"),
        "invert_features": lambda: c.invert_features(w.model, w.image, "fire4", steps=2).image,
        "invert_features pixels": lambda: (
            c.invert_features(
                w.model,
                w.image,
                "conv1",
                steps=2,
                parameterization="pixel",
                optimizer="adam",
                l2_weight=0.1,
            ).image
        ),
        "luminance": lambda: c.luminance(w.image),
        "luminance_and_color_error": lambda: list(c.luminance_and_color_error(w.image, w.other)),
        "activations_at": lambda: c.activations_at(w.model, w.image, ["conv1", "fire4"]),
        "efros_leung": lambda: c.efros_leung(w.style[..., :24, :24], 20, 5),
        "period_energy": lambda: c.period_energy(w.image, 4),
        "shifted_gram": lambda: c.shifted_gram(maps, (1, 2)),
        "synthesize_texture": lambda: (
            c.synthesize_texture(w.model, w.style, 64, steps=2, scales=2).image
        ),
        "synthesize_texture pixels": lambda: (
            c.synthesize_texture(
                w.model,
                w.style,
                64,
                steps=2,
                scales=1,
                shifts=((4, 0),),
                settings=Descent(parameterization="pixel", optimizer="adam", tv=0.1),
            ).image
        ),
        "keep_chroma": lambda: c.keep_chroma(w.image, w.other),
        "match_color": lambda: c.match_color(w.image, w.other),
        "transfer_style": lambda: c.transfer_style(w.model, w.image, w.style, steps=2).image,
        "transfer_style two": lambda: (
            c.transfer_style(
                w.model,
                w.image,
                [w.style, w.other],
                steps=2,
                scales=1,
                preserve_color="match",
                settings=Painting(start="noise", tv=0.1),
            ).image
        ),
        "style_grams": lambda: c.style_grams(w.model, [w.style, w.other]),
        "stylization_loss": lambda: c.stylization_loss(
            w.model, w.image, c.style_grams(w.model, [w.style])
        )(w.other),
        "stylize": lambda: c.stylize(w.stylizer, w.image),
        "train_stylizer": trained,
        "reproduce": lambda: saved(c.class_image(w.model, 388, **quick)),
        "save_image": lambda: [c.save_image(w.image, f"{w.folder}/image.png").stat().st_size],
        "stamp_corner": lambda: list(c.stamp_corner(w.image)),
        "intersection_over_union": lambda: [c.intersection_over_union(w.mask[0], ~w.mask[0])],
        "explore": paneled,
        # 画图：不比，只要画得出来
        "record": lambda: drawn(
            c.record(
                47,
                measured={"a": w.features[0, 0]},
                control={"b": w.features[0, 1]},
                n="40 个",
                holds={"c": (None, w.features[0, 0], 9)},
            )
        ),
        "neuron_card": lambda: drawn(c.neuron_card(w.model, "fire4", 3, w.photos, k=2)),
        "show_answers": lambda: drawn(c.show_answers(w.album[:2], w.model.top(w.album[:2]))),
        "show_bars": lambda: drawn(c.show_bars({"a": w.features[0, 0], "b": w.features[0, 1]})),
        "show_curve": lambda: drawn(c.show_curve({"a": w.features[0]})),
        "show_scatter": lambda: drawn(c.show_scatter(w.points, labels=w.labels)),
        "show_grid": lambda: drawn(c.show_grid([w.image, w.other])),
        "show_filmstrip": lambda: drawn(c.show_filmstrip(w.album[:2], ["1", "2"])),
        "show_film": lambda: drawn(c.show_film(w.album[:2])),
        "show_map": lambda: drawn(c.show_map(w.image, w.heat)),
        "show_table": lambda: drawn(c.show_table([["a", w.features[0, 0]]])),
    }
    return found


def patches(found) -> list:
    return [each for each in vars(found).values() if isinstance(each, torch.Tensor)]


def drawn(figure) -> list:
    import matplotlib.pyplot

    matplotlib.pyplot.close("all")
    return []


def leaves(value) -> list:
    """结果里的张量和数。"""
    if isinstance(value, dict):
        return leaves(list(value.values()))
    if isinstance(value, (list, tuple)):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def difference(expected, found, home: str) -> str:
    """两个结果哪里不同；相同是空串。`home` 是结果该在的设备。"""
    expected, found = leaves(expected), leaves(found)
    if len(expected) != len(found):
        return f"个数不同：{len(expected)} 与 {len(found)}"
    for first, second in zip(expected, found, strict=True):
        if isinstance(second, str) or second is None:
            if first != second:
                return f"{first!r} 与 {second!r}"
            continue
        if (
            isinstance(second, torch.Tensor)
            and home
            and second.dim()
            and second.device.type != home
        ):
            return f"结果在 {second.device}，该在 {home}"
        a, b = (torch.as_tensor(each).detach().cpu().double() for each in (first, second))
        if a.shape != b.shape:
            return f"形状 {tuple(a.shape)} 与 {tuple(b.shape)}"
        scale = max(1.0, a.nan_to_num(0, 0, 0).abs().max().item() if a.numel() else 0.0)
        worst = (a - b).nan_to_num(0, 0, 0).abs().max().item() / scale if a.numel() else 0.0
        if worst > TOLERANCE:
            return f"相差 {worst:.1e}"
    return ""


def main() -> int:
    import cnnlab

    chosen = [each for each in sys.argv[1:] if not each.startswith("--")]
    warnings.simplefilter("ignore")
    known = calls(world("cpu", "cpu"))
    reference = {}
    for name, call in known.items():
        if not chosen or name in chosen:
            reference[name] = call()
    missing = set(vars_of(cnnlab)) - set(NOT_COMPUTED.split()) - {name.split()[0] for name in known}
    wrong = [f"{name}：没有列进这张表" for name in sorted(missing)]
    # CPU 的结果都有了，此后才不收 float64
    simulated_accelerator.SETTINGS["float64"] = "--no-float64" not in sys.argv
    for place in ("cpu", "sim"):
        for name, call in calls(world("sim", place)).items():
            if name not in reference:
                continue
            on_cpu = name.split()[0] in ON_CPU.split() and not name.endswith(" image")
            home = "cpu" if on_cpu else place
            try:
                fault = difference(reference[name], call(), home)
            except Exception as error:
                fault = f"{type(error).__name__}: {str(error)[:160]}"
                if "--trace" in sys.argv:
                    import traceback

                    traceback.print_exc()
            if fault:
                wrong.append(f"{name}（图在 {place}）：{fault}")
    print(*wrong, sep="\n")
    print(f"{len(reference)} 种用法，{len(wrong)} 处不对；{simulated_accelerator.COUNTS}")
    return bool(wrong)


def vars_of(package) -> list[str]:
    return [name for names in package._exports.values() for name in names]


if __name__ == "__main__":
    simulated_accelerator.start()
    sys.exit(main())
