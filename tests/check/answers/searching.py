"""激活图到降维的答案：另一些对的写法，和常见的错法。"""

import copy
import math

import numpy
import torch
from torch.nn import functional

from answers.register import right, wrong


@right("layer_output")
def layer_output_detach_no_clone(image, layer, model):
    got = []
    h = getattr(model, layer).register_forward_hook(lambda m, i, o: got.append(o.detach()))
    model(image)
    h.remove()
    return got[0]


@right("layer_output")
def layer_output_with_handle(image, layer, model):
    got = []

    def hook(m, i, o):
        got.append(o)

    with torch.inference_mode():
        with getattr(model, layer).register_forward_hook(hook):
            model(image)
    return got[-1].clone()


@wrong("layer_output", "mistake")
def layer_output_network_output(image, layer, model):
    with torch.no_grad():
        return model(image)


@wrong("layer_output", "form")
def layer_output_layer_image(image, layer, model):
    with torch.no_grad():
        return getattr(model, layer)(image)


@right("activations")
def activations_restore_per_module_modes_inference_mode(image, layers, model):
    modes = {m: m.training for m in model.modules()}
    model.eval()
    got = {}
    hs = [
        getattr(model, l).register_forward_hook(lambda m, i, o, l=l: got.update({l: o.clone()}))
        for l in layers
    ]
    with torch.inference_mode():
        model(image)
    for h in hs:
        h.remove()
    for m, t in modes.items():
        m.training = t
    return {l: got[l].clone() for l in layers}


@wrong("activations", "mistake")
def activations_detach_but_no_clone(image, layers, model):
    got = {}
    hs = []
    was = model.training
    model.eval()
    for l in layers:
        hs.append(
            getattr(model, l).register_forward_hook(
                lambda m, i, o, l=l: got.__setitem__(l, o.detach())
            )
        )
    model(image)
    [h.remove() for h in hs]
    model.train(was)
    return got


@wrong("activations", "mistake")
def activations_late_binding_closure(image, layers, model):
    got = {}
    hs = []
    was = model.training
    model.eval()
    for l in layers:
        hs.append(
            getattr(model, l).register_forward_hook(
                lambda m, i, o: got.__setitem__(l, o.detach().clone())
            )
        )
    model(image)
    [h.remove() for h in hs]
    model.train(was)
    return got


@right("tiles")
def tiles_loops(activation):
    each = torch.zeros_like(activation)
    common = activation.clamp(min=0) / max(activation.max().item(), 1e-300)
    dead = torch.zeros(len(activation), dtype=torch.bool)
    for c, a in enumerate(activation):
        if a.max() > a.min():
            each[c] = (a - a.min()) / (a.max() - a.min())
        dead[c] = not (a > 0).any()
    return (each, common, dead)


@right("tiles")
def tiles_nan_to_num(activation):
    a = activation
    lo = a.amin((1, 2), keepdim=True)
    hi = a.amax((1, 2), keepdim=True)
    p = a.relu()
    return (
        torch.nan_to_num((a - lo) / (hi - lo), nan=0.0),
        torch.nan_to_num(p / p.max()),
        ~(a > 0).flatten(1).any(1),
    )


@wrong("tiles", "mistake")
def tiles_nan_const(a):
    lo = a.amin((1, 2), keepdim=True)
    hi = a.amax((1, 2), keepdim=True)
    p = a.relu()
    return ((a - lo) / (hi - lo), p / p.max(), a.amax((1, 2)) <= 0)


@right("channel_auc")
def channel_auc_loops(activation, labels):
    s = activation.flatten(2).max(2).values
    out = []
    for c in range(s.shape[1]):
        t = 0.0
        k = 0
        for a in s[labels, c]:
            for b in s[~labels, c]:
                t += 1.0 if a > b else 0.5 if a == b else 0.0
                k += 1
        out.append(t / k)
    return torch.tensor(out, dtype=activation.dtype)


@wrong("channel_auc", "mistake")
def channel_auc_no_ties(a, l):
    s = a.amax((2, 3))
    return (s[l][:, None] > s[~l][None]).double().mean((0, 1))


@wrong("channel_auc", "mistake")
def channel_auc_ties_count_1(a, l):
    s = a.amax((2, 3))
    return (s[l][:, None] >= s[~l][None]).double().mean((0, 1))


@right("receptive_size")
def receptive_size_list(layers):
    r, s, o = (1, 1, 0)
    for k, t, p in layers:
        r += (k - 1) * s
        o -= p * s
        s *= t
    return [r, s, o]


@wrong("receptive_size", "mistake")
def receptive_size_k_instead_of_k_1(layers):
    r, s, o = (1, 1, 0)
    for k, t, p in layers:
        r, o, s = (r + k * s, o - p * s, s * t)
    return (r, s, o)


@wrong("receptive_size", "mistake")
def receptive_size_padding_not_scaled(layers):
    r, s, o = (1, 1, 0)
    for k, t, p in layers:
        r, o, s = (r + (k - 1) * s, o - p, s * t)
    return (r, s, o)


@right("receptive_spans")
def receptive_spans_reachability_matrices(layers, length):
    M = torch.eye(length, dtype=torch.long)
    for k, t, p in layers:
        n = len(M)
        P = torch.cat(
            [torch.zeros(p, length, dtype=torch.long), M, torch.zeros(p, length, dtype=torch.long)]
        )
        M = torch.stack(
            [(P[i * t : i * t + k].sum(0) > 0).long() for i in range((n + 2 * p - k) // t + 1)]
        )
    return torch.tensor([[int(r.nonzero()[0]), int(r.nonzero()[-1]) + 1] for r in M])


@wrong("running_top", "property")
def running_top_concatenate_everything_memory(batches, k):
    a = torch.cat(list(batches))
    n, h, w = a.shape
    o = a.flatten().argsort(descending=True, stable=True)[:k]
    return (a.flatten()[o], torch.stack([o // (h * w), o // w % h, o % w], 1))


@wrong("running_top", "form")
def running_top_one_max_per_batch(batches, k):
    o = []
    n0 = 0
    for b in batches:
        q = int(b.flatten().argmax())
        n, h, w = b.shape
        o.append((-float(b.max()), n0 + q // (h * w), q // w % h, q % w))
        n0 += n
    o.sort()
    o = o[:k]
    return (torch.tensor([-x[0] for x in o], dtype=b.dtype), torch.tensor([x[1:] for x in o]))


@right("one_per_image")
def one_per_image_slice_at_end(values, image_index, k):
    kept, seen = ([], set())
    for place in values.argsort(descending=True, stable=True).tolist():
        image = int(image_index[place])
        if image not in seen:
            seen.add(image)
            kept.append(place)
    return torch.tensor(kept[:k])


@wrong("one_per_image", "mistake")
def one_per_image_first_occurrence_in_unsorted(values, image_index, k):
    best = {}
    for p, i in enumerate(image_index.tolist()):
        best.setdefault(i, p)
    ps = sorted(best.values(), key=lambda p: -values[p].item())
    return torch.tensor(ps[:k])


@wrong("one_per_image", "mistake")
def one_per_image_image_numbers_instead(values, image_index, k):
    kept = []
    for place in values.argsort(descending=True, stable=True).tolist():
        image = int(image_index[place])
        if image not in kept:
            kept.append(image)
    return torch.tensor(kept[:k])


@right("effective_area")
def effective_area_while_loop_numpy_get_submodule(image, layer, model):
    x = image.detach().clone().requires_grad_(True)
    o = []
    h = model.get_submodule(layer).register_forward_hook(lambda m, i, out: o.append(out.clone()))
    model(x)
    h.remove()
    a = o[0]
    _, _, hh, ww = a.shape
    (g,) = torch.autograd.grad(a[:, :, hh // 2, ww // 2].sum(), x)
    v = numpy.sort(g.abs().sum(1).numpy().ravel())[::-1]
    t = 0
    n = 0
    while t < 0.9 * v.sum():
        t += v[n]
        n += 1
    return n


@right("effective_area")
def effective_area_no_clone_in_hook(image, layer, model):
    x = image.detach().clone().requires_grad_(True)
    o = []
    h = model.get_submodule(layer).register_forward_hook(lambda m, i, out: o.append(out))
    model(x)
    h.remove()
    a = o[0]
    _, _, hh, ww = a.shape
    (g,) = torch.autograd.grad(a[:, :, hh // 2, ww // 2].sum(), x)
    v = g.abs().sum(1).flatten().sort(descending=True).values
    return int((v.cumsum(0) < 0.9 * v.sum()).sum()) + 1


@wrong("effective_area", "mistake")
def effective_area_whole_layer_sum(image, layer, model):
    x = image.detach().clone().requires_grad_(True)
    o = []
    h = model.get_submodule(layer).register_forward_hook(lambda m, i, out: o.append(out.clone()))
    model(x)
    h.remove()
    (g,) = torch.autograd.grad(o[0].sum(), x)
    v = g.abs().sum(1).flatten().sort(descending=True).values
    return int((v.cumsum(0) < 0.9 * v.sum()).sum()) + 1


@wrong("effective_area", "effect")
def effective_area_hook_left_backward(image, layer, model):
    x = image.detach().clone().requires_grad_(True)
    o = []
    model.get_submodule(layer).register_forward_hook(lambda m, i, out: o.append(out.clone()))
    model(x)
    a = o[0]
    a[:, :, a.shape[2] // 2, a.shape[3] // 2].sum().backward()
    g = x.grad
    v = g.abs().sum(1).flatten().sort(descending=True).values
    return int((v.cumsum(0) < 0.9 * v.sum()).sum()) + 1


@right("pooled_features")
def pooled_features_adaptive(a):
    return functional.adaptive_avg_pool2d(a, 1).flatten(1)


@right("pooled_features")
def pooled_features_einsum(a):
    return torch.einsum("nchw->nc", a) / (a.shape[2] * a.shape[3])


@wrong("pooled_features", "mistake")
def pooled_features_flatten(a):
    return a.flatten(1)


@wrong("pooled_features", "mistake")
def pooled_features_sum(a):
    return a.sum((2, 3))


@right("squared_distances")
def squared_distances_cdist_squared(q, g):
    return torch.cdist(q, g) ** 2


@right("squared_distances")
def squared_distances_abs_instead_of_clamp(q, g):
    return ((q**2).sum(1)[:, None] - 2 * q @ g.T + (g**2).sum(1)[None]).abs()


@wrong("squared_distances", "mistake")
def squared_distances_cdist(q, g):
    return torch.cdist(q, g)


@wrong("squared_distances", "mistake")
def squared_distances_l1(q, g):
    return torch.cdist(q, g, p=1)


@right("neighbors_without_self")
def neighbors_without_self_cdist(v, k):
    d = torch.cdist(v, v)
    d.fill_diagonal_(torch.inf)
    return d.argsort(dim=1, stable=True)[:, :k]


@right("neighbors_without_self")
def neighbors_without_self_loops(v, k):
    out = []
    for i in range(len(v)):
        o = sorted(((((v[i] - v[j]) ** 2).sum().item(), j) for j in range(len(v)) if j != i))
        out.append([j for _, j in o[:k]])
    return torch.tensor(out)


@wrong("neighbors_without_self", "property")
def neighbors_without_self_with_self(v, k):
    return torch.cdist(v, v).argsort(dim=1, stable=True)[:, :k]


@wrong("neighbors_without_self", "mistake")
def neighbors_without_self_drop_first_column(v, k):
    return torch.cdist(v, v).argsort(dim=1, stable=True)[:, 1 : k + 1]


@right("disagreement")
def disagreement_float64_random_ish(d):
    q = torch.ones(d, dtype=torch.float64)
    b = q * 5
    a = q.clone()
    a[0] += 0.3
    return [q, a, b]


@wrong("disagreement", "property")
def disagreement_a_parallel_to_q_too(d):
    q = torch.ones(d)
    return (q, q * 1.1, q * 10)


@right("shuffled_copy")
def shuffled_copy_load_state_dict(model, seed):
    g = torch.Generator().manual_seed(seed)
    m = copy.deepcopy(model)
    sd = m.state_dict()
    names = {n for n, _ in model.named_parameters()}
    m.load_state_dict(
        {
            k: v.reshape(-1)[torch.randperm(v.numel(), generator=g)].reshape(v.shape)
            if k in names
            else v
            for k, v in sd.items()
        }
    )
    return m


@right("shuffled_copy")
def shuffled_copy_numpy_randomstate(model, seed):
    r = numpy.random.RandomState(seed)
    m = copy.deepcopy(model)
    for p in m.parameters():
        p.data = p.data.flatten()[torch.from_numpy(r.permutation(p.numel()))].view(p.shape)
    return m


@wrong("shuffled_copy", "effect")
def shuffled_copy_global_seed(model, seed):
    torch.manual_seed(seed)
    m = copy.deepcopy(model)
    with torch.no_grad():
        for p in m.parameters():
            p.copy_(p.flatten()[torch.randperm(p.numel())].view_as(p))
    return m


@wrong("shuffled_copy", "property")
def shuffled_copy_rows_only(model, seed):
    g = torch.Generator().manual_seed(seed)
    m = copy.deepcopy(model)
    with torch.no_grad():
        for p in m.parameters():
            p.copy_(p[torch.randperm(len(p), generator=g)])
    return m


@right("principal")
def principal_eigh(x, n):
    c = x - x.mean(0)
    e, v = torch.linalg.eigh(c.T @ c)
    e = e.flip(0)
    v = v.flip(1)
    return (c @ v[:, :n], e[:n] / e.sum())


@right("principal")
def principal_pca_lowrank(x, n):
    with torch.random.fork_rng():
        u, s, v = torch.pca_lowrank(x, q=min(x.shape), niter=20)
    c = x - x.mean(0)
    return (c @ v[:, :n], s[:n] ** 2 / (c**2).sum())


@wrong("principal", "mistake")
def principal_smallest(x, n):
    c = x - x.mean(0)
    e, v = torch.linalg.eigh(c.T @ c)
    return (c @ v[:, :n], e[:n] / e.sum())


@wrong("principal", "mistake")
def principal_not_centred(x, n):
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    return (u[:, :n] * s[:n], (s**2 / (s**2).sum())[:n])


@right("neighbor_odds")
def neighbor_odds_20_bisections_on_sigma_in_1e_3_1e3(x, perplexity):
    N = len(x)
    d = torch.cdist(x, x) ** 2
    P = torch.zeros_like(d)
    for i in range(N):
        lo, hi = (0.001, 1000.0)
        o = torch.arange(N) != i
        for _ in range(50):
            s = (lo + hi) / 2
            p = torch.softmax(-d[i, o] / (2 * s * s), 0)
            if torch.exp(torch.special.entr(p).sum()) > perplexity:
                hi = s
            else:
                lo = s
        P[i, o] = p
    return P


@right("neighbor_odds")
def neighbor_odds_tol_1e_5_stop_on_entropy(x, perplexity):
    N = len(x)
    d = torch.cdist(x, x) ** 2
    P = torch.zeros_like(d)
    for i in range(N):
        lo, hi, b = (0.0, float("inf"), 1.0)
        o = torch.arange(N) != i
        for _ in range(100):
            p = torch.softmax(-d[i, o] * b, 0)
            df = float(torch.special.entr(p).sum()) - math.log(perplexity)
            if abs(df) < 1e-05:
                break
            if df > 0:
                lo = b
                b = b * 2 if hi == float("inf") else (b + hi) / 2
            else:
                hi = b
                b = (b + lo) / 2
        P[i, o] = p
    return P


@wrong("neighbor_odds", "mistake")
def neighbor_odds_uniform(x, perp):
    N = len(x)
    p = torch.full((N, N), 1 / (N - 1), dtype=x.dtype)
    p.fill_diagonal_(0)
    return p


@wrong("neighbor_odds", "mistake")
def neighbor_odds_student_t_kernel(x, perp):
    d = torch.cdist(x, x) ** 2
    q = 1 / (1 + d)
    q.fill_diagonal_(0)
    return q / q.sum(1, keepdim=True)


@right("purity")
def purity_tensor(x, l, k):
    d = torch.cdist(x, x)
    d.fill_diagonal_(torch.inf)
    return (l[d.topk(k, largest=False).indices] == l[:, None]).double().mean()


@right("purity")
def purity_float32_mean(x, l, k):
    d = torch.cdist(x, x)
    d.fill_diagonal_(torch.inf)
    return (l[d.topk(k, largest=False).indices] == l[:, None]).float().mean().item()


@wrong("purity", "mistake")
def purity_self_counted(x, l, k):
    return (l[torch.cdist(x, x).argsort(1)[:, :k]] == l[:, None]).double().mean().item()


@wrong("purity", "mistake")
def purity_k_1_with_self_not_removed_from_denominators(x, l, k):
    return (l[torch.cdist(x, x).argsort(1)[:, : k + 1]] == l[:, None]).double().mean().item()


@wrong("seating", "property")
def seating_round_collisions(points, rows, columns):
    p = points.round().long()
    return p[:, 0].clamp(0, rows - 1) * columns + p[:, 1].clamp(0, columns - 1)


@wrong("seating", "mistake")
def seating_sort_rows_then_cols(points, rows, columns):
    o = points[:, 0].argsort()
    s = torch.zeros(len(points), dtype=torch.long)
    for r in range(rows):
        m = o[r * columns : (r + 1) * columns]
        m = m[points[m, 1].argsort()]
        s[m] = torch.arange(columns) + r * columns
    return s


@right("false_clusters")
def false_clusters_highdim_perp_2(seed):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(150, 50, generator=g), 2)


@right("false_clusters")
def false_clusters_uniform_cube_perp_2(seed):
    g = torch.Generator().manual_seed(seed)
    return (torch.rand(150, 20, generator=g), 2)


@wrong("false_clusters", "form")
def false_clusters_nan(seed):
    return (torch.full((150, 5), float("nan")), 5)


@wrong("false_clusters", "property")
def false_clusters_x_line(seed):
    return (torch.linspace(0, 1, 150)[:, None].repeat(1, 3), 5)
