"""每个公开的名字一次小而正确的调用：名字 -> 取参数的函数。乱试在它上面一次换一个参数。"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from hostile import Small, a_layer
from torch import nn

import cnnlab
from cnnlab.engine.ascent import Ascent

SIDE = 32
FOLDER = Path(tempfile.mkdtemp(prefix="cnnlab-fuzz-"))


def rand(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


PHOTO, PHOTOS, MAPS = rand(1, 3, SIDE, SIDE), rand(4, 3, SIDE, SIDE), rand(2, 6, 5, 5)
ROWS, POINTS, LABELS = rand(24, 4), rand(24, 2, seed=2), torch.arange(24) % 3
KERNELS, DEEP = rand(6, 3, 3, 3), rand(6, 4, 3, 3)
HEAT, MASK = rand(1, SIDE, SIDE), rand(1, SIDE, SIDE, seed=3) > 0.5
FRAMES, STYLE = rand(3, 3, 16, 16), rand(1, 3, SIDE, SIDE, seed=4)
MODEL = cnnlab.wrap_model(Small().eval(), mean=(0.5,) * 3, std=(0.25,) * 3)
LAYER = "conv1"
QUICK = Ascent(robust=False)


def book():
    return cnnlab.load_model()


def photo():
    return PHOTO.clone()


def features():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())


def batches(step, generator):
    return torch.rand(2, 1, 8, 8, generator=generator)


def square(network, batch):
    return network(batch).square().mean()


def brightness(image):
    return image.mean()


def patches():
    return cnnlab.max_activating_patches(MODEL, PHOTOS.clone(), LAYER, [1], k=1)


def result():
    return cnnlab.channel_image(book(), "fire3", 1, size=32, steps=1, settings=QUICK)


def term():
    return cnnlab.channel(LAYER, 1)


def generator():
    return cnnlab.ImageGenerator(8, channels=3, size=32, width=8)


def decoder():
    return cnnlab.FeatureDecoder(8, size=32, width=8)


def stylizer():
    return cnnlab.StylizationNetwork(2, widths=(4, 4, 4), blocks=1)


def image_folder():
    folder = FOLDER / "photos"
    if not folder.exists():
        cnnlab.save_image(PHOTO, folder / "a.png")
    return folder


def recorded():
    cnnlab.record(**GOOD["record"]())
    return 47


def grams():
    return cnnlab.style_grams(book(), STYLE.clone())


def squeezed(seed=1):
    return rand(1, 3, 48, 48, seed=seed)


MI = lambda: {"model": MODEL, "image": photo()}
MIT = lambda: {**MI(), "target": 3}

# 名字 -> () -> {参数名: 值}；以 * 开头的按位置给
GOOD = {
    # core
    "activations_of": lambda: {**MI(), "layers": LAYER},
    "record_activations": lambda: {"model": MODEL, "layers": [LAYER]},
    "load_image": lambda: {"source": "panda", "size": 16},
    "resize": lambda: {"image": photo(), "size": 16},
    "save_animation": lambda: {"frames": FRAMES.clone(), "path": FOLDER / "a.gif", "milliseconds": 90},
    "save_image": lambda: {"image": photo(), "path": FOLDER / "a.png", "inputs": False},
    "to_pil": lambda: {"image": photo()},
    "correlation": lambda: {"a": ROWS.clone(), "b": ROWS.flip(0)},
    "frequency_share": lambda: {"image": photo(), "cutoff": 0.2},
    "halve_and_restore": lambda: {"image": photo()},
    "luminance": lambda: {"image": photo()},
    "rank_correlation": lambda: {"a": ROWS.clone(), "b": ROWS.flip(0)},
    "shuffle_blocks": lambda: {"image": photo(), "side": 8, "seed": 1},
    "sobel": lambda: {"image": photo()},
    "run_profile": lambda: {"name": "quick"},
    "override_relu_gradient": lambda: {"model": MODEL, "rule": "guided"},
    # networks
    "ImageGenerator": lambda: {"code_size": 8, "channels": 1, "size": 28, "width": 4},
    "load_digit_network": lambda: {"name": "classifier"},
    "VisionModel": lambda: {"network": Small(), "mean": (0.5,) * 3, "std": (0.2,) * 3, "categories": list("abcde"), "layers": None, "name": "x"},
    "available_models": dict,
    "load_model": lambda: {"name": "squeezenet1_1", "weights": "default", "device": "cpu"},
    "wrap_model": lambda: {"module": Small(), "mean": (0.5,) * 3, "std": (0.2,) * 3, "categories": list("abcde"), "layers": None},
    "randomize_layers": lambda: {"model": Small(), "layers": [LAYER], "seed": 1},
    "randomized_copy": lambda: {"model": Small(), "seed": 1},
    "load_shortcut_network": lambda: {"name": "planted"},
    "ConditionalNorm": lambda: {"channels": 4, "n_styles": 2, "kind": "instance"},
    "StylizationNetwork": lambda: {"n_styles": 2, "widths": (4, 4, 4), "blocks": 1, "normalization": "instance", "padding": "reflect", "photo_gain": 0.0},
    "load_stylizer": lambda: {"name": "drawn"},
    "stylizer_film": dict,
    # pictures
    "class_gallery": dict,
    "comparison_gallery": lambda: {"kind": "phase"},
    "facet_gallery": dict,
    "layer_gallery": dict,
    "face_labels": dict,
    "intersection_over_union": lambda: {"mask": MASK.clone(), "truth": MASK.flip(-1)},
    "object_mask": lambda: {"name": cnnlab.outlined_photos()[0], "size": 32},
    "outlined_photos": dict,
    "ImageSet": lambda: {"images": PHOTOS.clone(), "names": tuple("abcd"), "categories": tuple("xxyy"), "attribution": tuple("1234")},
    "digits": lambda: {"n": 3},
    "PhotoFolder": lambda: {"path": image_folder(), "size": 16, "n": 1, "leave_out": ()},
    "image_folder": lambda: {"path": image_folder(), "size": 16, "n": 1},
    "imagenette": lambda: {"root": image_folder(), "split": "val", "size": 16, "n": 2},
    "photo": lambda: {"name": "panda", "size": 16},
    "photos": lambda: {"category": None, "size": 8},
    "stl10": lambda: {"root": image_folder(), "split": "test", "n": 2},
    "style_image": lambda: {"name": "waves", "size": 16, "seed": 1},
    "texture_image": lambda: {"name": "bricks", "size": 16, "seed": 1},
    "shortcut_photos": lambda: {"part": "test", "size": 8},
    "stamp_corner": lambda: {"image": photo(), "size": 5, "color": (0.9, 0.1, 0.8), "seed": 1},
    # engine
    "Ascent": lambda: {"parameterization": "fourier", "start": "noise", "decay": 1.0, "learning_rate": 0.05, "margin": 0, "crop": 0.0, "view": 0, "jitter_pixels": 0, "views": 1, "natural": 0.0, "tv": 0.0},
    "natural_statistics": lambda: {"model": book(), "size": 64, "layers": {"conv1": 1.0}},
    "random_crop": lambda: {"smallest": 0.5, "side": 8, "generator": torch.Generator()},
    "Descent": lambda: {"start": None, "parameterization": "fourier", "optimizer": "lbfgs", "tv": 0.0, "decay": 0.75},
    "class_scores": MIT,
    "score_gradient": MIT,
    "objective": lambda: {"model": MODEL, "terms": [term()], "transform": None},
    "optimize_image": lambda: {"image": photo(), "loss": brightness, "steps": 2, "optimizer": "adam", "transform": None, "after_step": None, "on_step": None},
    "adam": lambda: {"learning_rate": 0.05, "cool_down": None},
    "lbfgs": lambda: {"learning_rate": 1.0, "history": 5, "first_step": 0.01},
    "sgd": lambda: {"learning_rate": 0.05, "normalize": None},
    "CodeImage": lambda: {"generator": generator(), "code": rand(1, 8)},
    "FourierImage": lambda: {"size": 16, "image": None, "n": 1, "sd": 0.01, "decay": 1.0, "seed": 0},
    "PhaseImage": lambda: {"photos": PHOTOS.clone(), "n": 1, "seed": 0},
    "PixelImage": lambda: {"image": photo()},
    "start_image": lambda: {"start": "noise", "size": 16, "n": 1, "sd": 0.1, "seed": 0},
    "copied_regions": lambda: {"sources": np.arange(32).reshape(4, 4, 2)},
    "blur": lambda: {"image": photo(), "sigma": 1.0},
    "center_bias": lambda: {"size": 8, "spread": 0.1},
    "center_mask": lambda: {"width": 0.25},
    "clamp": lambda: {"low": 0.0, "high": 1.0},
    "clip_small_contribution": lambda: {"percentile": 5.0},
    "clip_small_norm": lambda: {"percentile": 5.0},
    "compose": lambda: {"*transforms": [cnnlab.jitter(2)]},
    "gaussian_blur": lambda: {"sigma": 1.0, "every": 2},
    "jitter": lambda: {"pixels": 2, "generator": None},
    "l2": lambda: {"image": photo()},
    "pad": lambda: {"pixels": 2, "value": 0.5},
    "random_rotate": lambda: {"degrees": 10.0},
    "random_scale": lambda: {"low": 0.9, "high": 1.1},
    "robust_transforms": dict,
    "total_variation": lambda: {"image": photo(), "power": 2.0},
    "Result": lambda: {"image": photo(), "history": {}, "settings": {}},
    "reproduce": lambda: {"source": result()},
    "channel": lambda: {"layer": LAYER, "channel": 1, "position": None},
    "class_score": lambda: {"target": 3},
    "feature_distance": lambda: {"target": MAPS.clone(), "layer": LAYER, "relative": True},
    "gram_distance": lambda: {"target": rand(2, 6, 6), "layer": LAYER, "normalize": "chw", "relative": True},
    "gram_matrix": lambda: {"activation": MAPS.clone(), "normalize": "chw"},
    "half_squared_norm": lambda: {"layer": LAYER, "channels": [1]},
    "image_prior": lambda: {"function": brightness, "weight": 1.0, "name": "亮"},
    "log_probability": lambda: {"target": 3},
    "similarity": lambda: {"layer": LAYER, "views": 1},
    "fit": lambda: {"network": features(), "loss": square, "batches": batches, "steps": 2, "optimizer": "adam", "learning_rate": 0.01, "save_every": 10, "seed": 0},
    # chapters
    "altered_photos": lambda: {"images": PHOTOS.clone()},
    "best_correlations": lambda: {"activation": MAPS.clone(), "reference": MAPS.flip(1)},
    "count_kernels": lambda: {"model": MODEL},
    "finite_difference": lambda: {"function": brightness, "image": photo().double(), "position": (0, 1, 2, 3), "step": 1e-4},
    "layer_probe": lambda: {"model": MODEL, "query": PHOTOS.clone(), "gallery": PHOTOS.clone(), "layers": [LAYER]},
    "map_correlations": lambda: {"activation": MAPS.clone()},
    "gabor_similarity": lambda: {"kernels": rand(3, 3, 3)},
    "grating": lambda: {"angle": 0.3, "period": 4.0, "phase": 0.0, "size": 16},
    "kernel_tiles": lambda: {"weight": KERNELS.clone(), "scale": "each"},
    "match_patches": lambda: {"weight": KERNELS.clone(), "image": photo(), "stride": 1},
    "orientation_index": lambda: {"tuning": rand(6, 8)},
    "orientation_tuning": lambda: {"model": MODEL, "layer": LAYER, "angles": 2, "periods": (4,), "phases": 2, "size": 16},
    "channel_correlation": lambda: {"first": MAPS.clone(), "second": MAPS.flip(2)},
    "expanded_kernels": lambda: {"model": MODEL, "layer": LAYER, "channels": [1], "image": photo()},
    "kernel_planes": lambda: {"weight": DEEP.clone(), "scale": "each"},
    "plane_agreement": lambda: {"weight": DEEP.clone()},
    "plane_roughness": lambda: {"weight": DEEP.clone()},
    "plane_sheet": lambda: {"planes": rand(6, 4, 3, 3), "gap": 1},
    "predicted_maps": lambda: {"model": MODEL, "images": PHOTOS.clone(), "layer": LAYER, "kernels": rand(6, 3, 3, 3)},
    "shuffled_within": lambda: {"weight": DEEP.clone(), "seed": 0},
    "activation_tiles": lambda: {"activation": MAPS[:1].clone(), "scale": "each"},
    "auc": lambda: {"positive": rand(5, 3), "negative": rand(6, 3)},
    "dead_channels": lambda: {"activation": MAPS.clone()},
    "mask_iou": lambda: {"activation": MAPS[:1].clone(), "mask": MASK.clone(), "share": 0.2},
    "pick_and_test": lambda: {"positive": rand(6, 3), "negative": rand(6, 3)},
    "effective_receptive_field": lambda: {"model": MODEL, "images": PHOTOS.clone(), "layer": LAYER},
    "image_maxima": lambda: {"model": MODEL, "images": PHOTOS.clone(), "layer": LAYER, "channels": [1]},
    "mass_pixels": lambda: {"influence": rand(8, 8), "share": 0.9},
    "max_activating_patches": lambda: {"model": MODEL, "images": PHOTOS.clone(), "layer": LAYER, "channels": [1], "k": 2, "one_per_image": True},
    "ranked_patches": lambda: {"model": MODEL, "images": PHOTOS.clone(), "layer": LAYER, "channels": [1], "k": 1, "part": "middle", "seed": 0},
    "receptive_field": lambda: {"model": MODEL, "layer": LAYER, "image_size": 32},
    "row_agreement": lambda: {"image_index": torch.arange(6).view(2, 3) % 4, "labels": ["a", "b", "a", "b"]},
    "row_similarity": lambda: {"crops": rand(2, 3, 3, 8, 8), "size": 4},
    "extract_features": lambda: {"model": MODEL, "images": PHOTOS.clone(), "layer": LAYER},
    "found_again": lambda: {"query": ROWS.clone(), "gallery": ROWS.clone(), "metric": "euclidean"},
    "nearest_neighbors": lambda: {"query": ROWS.clone(), "gallery": ROWS.clone(), "k": 3, "metric": "euclidean", "exclude_self": False},
    "pixel_vectors": lambda: {"images": PHOTOS.clone(), "size": 8},
    "retrieval_score": lambda: {"features": ROWS.clone(), "labels": LABELS.tolist(), "k": 1, "metric": "euclidean"},
    "conditional_affinities": lambda: {"x": ROWS.clone(), "perplexity": 5},
    "explained_variance": lambda: {"x": ROWS.clone()},
    "grid_cells": lambda: {"points": POINTS.clone(), "shape": (5, 5)},
    "grid_positions": lambda: {"points": POINTS.clone(), "shape": (5, 5)},
    "image_grid": lambda: {"points": POINTS[:4].clone(), "images": PHOTOS.clone(), "shape": (2, 2), "cell": 8, "gap": 2},
    "joint_affinities": lambda: {"conditional": rand(6, 6)},
    "map_divergence": lambda: {"affinities": rand(24, 24), "points": POINTS.clone()},
    "neighbor_purity": lambda: {"x": ROWS.clone(), "labels": LABELS.clone(), "k": 2},
    "pca": lambda: {"x": ROWS.clone(), "n": 2},
    "trustworthiness": lambda: {"x": ROWS.clone(), "points": POINTS.clone(), "k": 3},
    "tsne": lambda: {"x": ROWS.clone(), "perplexity": 5, "seed": 0, "steps": 250, "start": "pca"},
    "vote_accuracy": lambda: {"x": ROWS.clone(), "labels": LABELS.clone(), "k": 3},
    "average_per_pixel": lambda: {"drop": rand(1, 3, 3), "image_size": 32, "window": 16, "stride": 8},
    "covered_image": lambda: {"image": photo(), "top": 2, "left": 3, "window": 8, "fill": "mean"},
    "occlusion_map": lambda: {**MIT(), "window": 16, "stride": 16, "fill": "mean", "output": "score", "on_step": None},
    "window_starts": lambda: {"length": 32, "window": 8, "stride": 4},
    "adversarial_step": lambda: {**MIT(), "grey_levels": 1.0},
    "fooling_image": lambda: {**MIT(), "grey_levels": 4.0, "steps": 2},
    "class_activation_map": lambda: {**MIT(), "upsample": True},
    "grad_cam": lambda: {**MIT(), "layer": LAYER, "upsample": True},
    "gradient_times_input": MIT,
    "integrated_gradients": lambda: {**MIT(), "baseline": 0.0, "steps": 2},
    "saliency_map": lambda: {**MIT(), "reduce": "max"},
    "segment_from_saliency": lambda: {"image": photo(), "saliency": HEAT.clone(), "foreground": 0.95, "background": 0.3, "window": 9},
    "smooth_grad": lambda: {**MIT(), "samples": 2, "noise": 0.1, "seed": 0, "reduce": "max"},
    "deconvnet_gradient": lambda: {**MI(), "target": 3, "layer": None, "channel": None, "position": None},
    "guided_gradient": lambda: {**MI(), "target": None, "layer": "conv2", "channel": 1, "position": (3, 3)},
    "guided_patches": lambda: {"model": MODEL, "patches": patches(), "layer": LAYER},
    "ruled_gradient": lambda: {**MI(), "rule": "guided", "target": 3, "layer": None, "channel": None, "position": None},
    "cascade_layers": lambda: {"model": MODEL},
    "curve_area": lambda: {"curve": rand(2, 5)},
    "deletion_curve": lambda: {**MIT(), "heat": HEAT.clone(), "steps": 2, "fill": "mean", "output": "probability"},
    "edge_map": lambda: {"image": photo()},
    "explain": lambda: {**MIT(), "method": "gradient", "layer": None, "rounds": 2},
    "insertion_curve": lambda: {**MIT(), "heat": HEAT.clone(), "steps": 2, "fill": "mean", "output": "score"},
    "mass_inside": lambda: {"heat": HEAT.clone(), "mask": MASK.clone()},
    "accentuate": lambda: {"model": book(), "image": squeezed(), "target": 3, "keep": 60.0, "layer": "fire4", "steps": 1, "seed": 0, "settings": QUICK},
    "channel_image": lambda: {"model": MODEL, "layer": LAYER, "channel": 1, "position": None, "size": 16, "steps": 1, "seed": 0, "settings": QUICK},
    "class_image": lambda: {"model": MODEL, "target": 3, "size": 16, "steps": 1, "seed": 0, "on_step": None, "settings": QUICK},
    "class_ranks": MIT,
    "coarse_to_fine": lambda: {"model": MODEL, "target": 3, "stages": ((16, 16, 1, 0.05),), "start": PHOTOS[:1].clone(), "seed": 0, "settings": QUICK},
    "photo_as_class": lambda: {**MIT(), "steps": 1, "step_size": 0.002},
    "score_kept": MIT,
    "scores_before_relu": lambda: {"model": book(), "image": squeezed(), "target": 3},
    "class_facets": lambda: {"model": MODEL, "target": 3, "images": PHOTOS.clone(), "facets": 2, "nearest": 1, "labels": torch.tensor([0, 1, 0, 1]), "steps": 1, "natural": 0.0, "seed": 0},
    "cluster_photos": lambda: {"features": ROWS.clone(), "facets": 2, "reduce": "pca", "seed": 0},
    "code_image": lambda: {"model": MODEL, "target": 3, "generator": generator(), "code_l2": 0.02, "spread": 3.0, "radius": 0.9, "steps": 1, "learning_rate": 0.1, "seed": 0},
    "facet_starts": lambda: {"images": PHOTOS.clone(), "features": rand(4, 5), "labels": torch.tensor([0, 1, 0, 1]), "nearest": 1},
    "fit_generator": lambda: {"generator": generator(), "model": MODEL, "images": PHOTOS.clone(), "layer": "drop", "steps": 1, "code_noise": 0.0, "seed": 0},
    "nearest_distance": lambda: {"images": PHOTOS[:2].clone(), "gallery": PHOTOS.clone()},
    "photo_features": lambda: {"model": book(), "images": rand(2, 3, 48, 48)},
    "change_wavelength": lambda: {"change": rand(1, 3, 16, 16) - 0.5},
    "channel_growth": lambda: {"model": MODEL, "before": photo(), "after": PHOTOS[1:2].clone(), "layer": LAYER},
    "dream": lambda: {**MI(), "layer": LAYER, "octaves": 1, "octave_scale": 1.4, "steps": 1, "step_size": 0.01, "jitter_pixels": 2, "channels": None, "guide": None, "seed": 0},
    "dream_zoom": lambda: {**MI(), "layer": LAYER, "frames": 1, "zoom": 1.06, "octaves": 1, "steps": 1},
    "FeatureDecoder": lambda: {"channels": 8, "size": 32, "width": 8},
    "feature_error": lambda: {**MI(), "original": PHOTOS[:1].clone(), "layer": LAYER},
    "invert_features": lambda: {**MI(), "layer": LAYER, "tv": 0.1, "l2_weight": 0.0, "parameterization": "pixel", "decay": 1.0, "jitter_pixels": 0, "optimizer": "adam", "steps": 1, "start": "grey"},
    "load_decoder": dict,
    "luminance_and_color_error": lambda: {"image": photo(), "original": PHOTOS[:1].clone()},
    "activations_at": lambda: {**MI(), "layers": [LAYER]},
    "efros_leung": lambda: {"sample": rand(1, 3, 16, 16), "size": 18, "window": 5, "seed": 0, "return_sources": False, "on_step": None},
    "shifted_gram": lambda: {"activation": MAPS.clone(), "shift": (0, 1)},
    "synthesize_texture": lambda: {"model": book(), "sample": squeezed(), "size": 48, "layers": ["conv1"], "layer_weights": None, "shifts": (), "steps": 1, "scales": 1, "seed": 0},
    "texture_layers": lambda: {"model": book()},
    "texture_terms": lambda: {"model": book(), "samples": [squeezed()], "layers": ["conv1"], "mix": (1.0,), "layer_weights": None},
    "Painting": lambda: {"start": "content", "parameterization": "fourier", "optimizer": "lbfgs", "tv": 0.0, "decay": 0.75, "content_layer": None, "style_layers": None, "layer_weights": None},
    "content_layer_of": lambda: {"model": book()},
    "content_terms": lambda: {"model": MODEL, "content": photo(), "layer": LAYER, "weight": 1.0},
    "keep_chroma": lambda: {"image": photo(), "content": PHOTOS[:1].clone()},
    "match_color": lambda: {"style": STYLE.clone(), "content": photo()},
    "style_terms": lambda: {"model": MODEL, "styles": [STYLE.clone()], "mix": [1.0], "layers": [LAYER], "weight": 1.0, "shares": None},
    "transfer_style": lambda: {"model": book(), "content": squeezed(), "styles": squeezed(2), "style_weights": None, "content_weight": 1.0, "style_weight": 8.0, "style_size": None, "preserve_color": False, "scales": 1, "steps": 1},
    "break_even": lambda: {"training": 100.0, "fast": 0.1, "slow": 2.0},
    "equal_steps": lambda: {"losses": [3.0, 2.0, 1.0], "loss": 2.0},
    "period_energy": lambda: {"images": PHOTOS.clone(), "period": 4},
    "style_grams": lambda: {"model": book(), "styles": squeezed(), "layers": ["conv1"]},
    "stylization_loss": lambda: {"model": book(), "content": squeezed(), "grams": grams(), "content_layer": None, "content_weight": 1.0, "style_weight": 20.0, "tv": 0.1},
    "stylize": lambda: {"network": stylizer(), "image": photo(), "style": 0},
    "train_stylizer": lambda: {"network": stylizer(), "model": book(), "contents": rand(2, 3, 64, 64), "styles": rand(2, 3, 64, 64), "steps": 1, "batch_size": 1, "size": 64, "learning_rate": 0.002, "seed": 0},
    # show
    "show_answers": lambda: {"images": PHOTOS.clone(), "answers": [[("甲", 0.9), ("乙", 0.1)]] * 4, "count": 2, "caption": "", "alt": ""},
    "neuron_card": lambda: {"model": MODEL, "layer": LAYER, "channel": 1, "images": PHOTOS.clone(), "k": 2},
    "show_bars": lambda: {"names": ["甲", "乙"], "values": [1.0, 2.0], "control": [0.5, 0.4], "errors": None, "number": "{:.2f}", "ylabel": "", "title": ""},
    "show_curve": lambda: {"curves": {"甲": [1.0, 2.0, 3.0]}, "x": [0, 1, 2], "xlabel": "步数", "log": False},
    "show_scatter": lambda: {"points": POINTS.clone(), "labels": LABELS.clone(), "size": 26},
    "ledger": lambda: {"*numbers": [recorded()]},
    "record": lambda: {"number": 47, "remark": "", "measured": {"甲": 1.0}, "control": {"甲": 0.5}, "n": 3, "holds": {"高": (0.0, 0.5, 1.0)}},
    "use_style": dict,
    "show_film": lambda: {"frames": FRAMES.clone(), "seconds": 0.2, "caption": "", "alt": ""},
    "show_filmstrip": lambda: {"frames": FRAMES.clone(), "labels": ["1", "2", "3"]},
    "show_grid": lambda: {"images": PHOTOS[:2].clone(), "titles": ["1", "2"], "columns": 2, "scale": "none", "row_labels": None, "column_labels": None, "size": 1.0, "cmap": None, "colorbar": None},
    "show_map": lambda: {"image": photo(), "heatmap": HEAT.clone(), "titles": None, "label": "数值", "limit": None, "beside": True},
    "show_source": lambda: {"function": cnnlab.pca, "docstring": True},
    "show_table": lambda: {"rows": [["a", 1.0], ["b", 2.0]], "headers": ["x", "y"], "caption": "", "digits": 3},
    "Choice": lambda: {"value": 3, "code": "3"},
    "explore": lambda: {"*function": [cnnlab.resize], "image": [PHOTO], "size": (8, 16, 8)},
    "workbench": lambda: {"model": book(), "size": 32},
}  # fmt: skip
# 不是调用：两个名单
CONSTANTS = {"DECODER_HELD_OUT", "STYLIZER_HELD_OUT"}
# 第一个参数是网络的公开函数
TAKES_MODEL = sorted(name for name in GOOD if isinstance(GOOD[name]().get("model"), nn.Module))


def on_network(name: str, network: nn.Module) -> dict:
    """这个函数的正确参数，网络换成 `network`，层换成它的第一个卷积层。"""
    with torch.random.fork_rng():  # 有的参数是现建的网络
        arguments, layer = GOOD[name]() | {"model": network}, a_layer(network)
    if arguments.get("layer") is not None:
        arguments["layer"] = layer
    if isinstance(layers := arguments.get("layers"), dict):
        arguments["layers"] = {layer: next(iter(layers.values()))}
    elif layers is not None:
        arguments["layers"] = [layer]
    if "terms" in arguments:
        arguments["terms"] = [cnnlab.channel(layer, 1)]
    return arguments


def call(name, arguments):
    """以这些参数调用一次；* 开头的展开成位置参数。`with` 用的进出一次。"""
    positions = [
        each for key, values in arguments.items() if key.startswith("*") for each in values
    ]
    options = {key: value for key, value in arguments.items() if not key.startswith("*")}
    found = getattr(cnnlab, name)(*positions, **options)
    if hasattr(found, "__enter__") and hasattr(found, "__exit__"):
        with found:
            pass
    return found
