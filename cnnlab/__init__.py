"""cnnlab：《可视化和理解》一书的代码。每个算法是一个短函数，张量进，张量出。

全部公开的名字都能以 `cnnlab.名字` 取用，第一次用到时才导入它所在的模块。
"""

import lazy_loader

__version__ = "0.1.0"

# 模块 -> 它公开的名字；一行一个模块，按层次从下到上
_exports = {
    "images": ["load_image", "resize", "save_image", "to_pil"],
    "hooks": ["activations_of", "override_relu_gradient", "record_activations"],
    "models": ["VisionModel", "available_models", "load_model", "wrap_model"],
    "datasets": ["ImageSet", "digits", "image_folder", "imagenette", "photo", "photos", "stl10", "style_image", "texture_image"],
    "profiles": ["run_profile"],
    "texture": ["efros_leung", "gram_matrix", "shifted_gram", "synthesize_texture"],
    "growth": ["copied_regions"],
    "style_transfer": ["keep_chroma", "match_color", "transfer_style"],
    "deepdream": ["channel_growth", "dream", "dream_zoom"],
    "inversion": ["FeatureDecoder", "feature_error", "invert_features", "load_decoder", "luminance_and_color_error"],
    "getting_started": ["count_kernels", "finite_difference", "layer_probe", "sobel"],
    "first_layer": ["kernel_tiles", "match_patches", "orientation_tuning"],
    "middle_layers": ["expanded_kernels", "kernel_planes"],
    "activation_maps": ["activation_tiles", "dead_channels"],
    "patches": [
        "effective_receptive_field",
        "image_maxima",
        "mass_pixels",
        "max_activating_patches",
        "ranked_patches",
        "receptive_field",
        "row_agreement",
        "row_similarity",
    ],
    "class_activation": ["class_activation_map", "grad_cam"],
    "occlusion": ["average_per_pixel", "covered_image", "occlusion_map"],
    "saliency": [
        "adversarial_step",
        "fooling_image",
        "gradient_times_input",
        "integrated_gradients",
        "saliency_map",
        "segment_from_saliency",
        "smooth_grad",
    ],
    "guided_backprop": ["deconvnet_gradient", "guided_gradient", "guided_patches"],
    "neighbors": ["extract_features", "found_again", "nearest_neighbors", "pixel_vectors", "randomized_copy", "retrieval_score"],
    "embedding": ["conditional_affinities", "explained_variance", "image_grid", "neighbor_purity", "pca", "trustworthiness", "tsne"],
    "shortcut": ["load_shortcut_network", "shortcut_photos", "stamp_corner"],
    "faithfulness": [
        "cascade_layers",
        "curve_area",
        "deletion_curve",
        "edge_map",
        "explain",
        "insertion_curve",
        "mass_inside",
        "randomize_layers",
        "rank_correlation",
    ],
    "optimize": ["optimize_image"],
    "gradient_ascent": ["channel_image", "class_image"],
    "facets": ["class_facets", "code_image"],
    "fast_style": ["style_grams", "stylization_loss", "stylize", "train_stylizer"],
    "stylizers": ["StylizationNetwork", "load_stylizer"],
    "results": ["Result", "reproduce"],
    "widgets": ["explore"],
    "card": ["neuron_card"],
}

_submodules = ["check", "claims", "doctor", "plotting", "widgets"]

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, [*_exports, *_submodules], _exports)
