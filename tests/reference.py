"""Independent computations in plain NumPy and plain Python, which the package is compared with."""
import itertools
import math

import numpy as np


def relative_error(a, b):
    """||a - b|| / ||b||, in float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape, (a.shape, b.shape)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def convolve(data, weight, bias, stride=(1, 1), pad=(0, 0), dilate=(1, 1), groups=1):
    """2-D convolution (N, C, H, W) by loops over kernel positions, in float64."""
    data = np.pad(np.asarray(data, np.float64), ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    filters, channels, kh, kw = weight.shape
    out_h = (data.shape[2] - dilate[0] * (kh - 1) - 1) // stride[0] + 1
    out_w = (data.shape[3] - dilate[1] * (kw - 1) - 1) // stride[1] + 1
    out = np.zeros((data.shape[0], filters, out_h, out_w))
    per_group = filters // groups
    for n, y, x in itertools.product(range(filters), range(kh), range(kw)):
        group = n // per_group
        window = data[:, group * channels:(group + 1) * channels,
                      y * dilate[0]:y * dilate[0] + (out_h - 1) * stride[0] + 1:stride[0],
                      x * dilate[1]:x * dilate[1] + (out_w - 1) * stride[1] + 1:stride[1]]
        out[:, n] += np.einsum("bchw,c->bhw", window, np.asarray(weight[n, :, y, x], np.float64))
    return out if bias is None else out + np.asarray(bias)[None, :, None, None]


def deconvolve(data, weight, bias, stride=(1, 1), pad=(0, 0), dilate=(1, 1), groups=1, adj=(0, 0)):
    """2-D transposed convolution in float64: every input adds a kernel; the weight is (in, out/groups, kh, kw)."""
    data = np.asarray(data, np.float64)
    channels, filters, kh, kw = weight.shape
    high, wide = (((side - 1) * step + 1) for side, step in zip(data.shape[2:], stride))
    size = high + dilate[0] * (kh - 1) + adj[0], wide + dilate[1] * (kw - 1) + adj[1]
    out = np.zeros((len(data), filters * groups) + size)
    for c, y, x in itertools.product(range(channels), range(kh), range(kw)):
        first, top, left = c // (channels // groups) * filters, y * dilate[0], x * dilate[1]
        out[:, first:first + filters, top:top + high:stride[0], left:left + wide:stride[1]] += np.einsum(
            "bhw,n->bnhw", data[:, c], np.asarray(weight[c, :, y, x], np.float64))
    out = out[:, :, pad[0]:size[0] - pad[0], pad[1]:size[1] - pad[1]]
    return out if bias is None else out + np.asarray(bias)[None, :, None, None]


def run_chain(data, chain, arrays):
    """Apply SubConv and SubFC parts with their (weight, bias) in plain NumPy."""
    for part, (weight, bias) in zip(chain, arrays):
        if part.op == "Convolution":
            data = data if part.maps is None else data.reshape((len(data),) + tuple(part.maps))
            data = convolve(data, weight, bias, part.stride, part.pad, part.dilate, part.groups)
        elif part.op == "Deconvolution":
            # The kernel in the order of a convolution's, (out, in/groups, kh, kw), in which methods deal.
            by_group = weight.reshape((part.groups, -1) + weight.shape[1:]).swapaxes(1, 2)
            data = deconvolve(data, by_group.reshape((part.in_channels, -1) + weight.shape[2:]), bias, part.stride,
                              part.pad, part.dilate, part.groups, part.adj)
        else:
            rows = data.reshape(len(data), -1) if part.flatten else data
            data = rows @ np.asarray(weight, np.float64).T + (0 if bias is None else bias)
    return data


def original_spectrum(weight):
    """Singular values of the original's unfolding of a kernel (N, C, y, x), by NumPy's SVD."""
    filters, channels, y, x = weight.shape
    matrix = np.asarray(weight, np.float64).transpose(1, 2, 0, 3).reshape(channels * y, filters * x)
    return np.linalg.svd(matrix, compute_uv=False)


def original_recurrence(layers, ratio):
    """The original accnn's rank selection: a dictionary from cost to the best sum of logs.

    Parameters
    ----------
    layers : list of (ndarray, (int, int))
        Kernel (N, C, y, x) and size of the *input* picture.
    ratio : float

    Returns
    -------
    (list of int, float)
        Ranks, and the objective they reach.
    """
    unit = [w.shape[3] * (w.shape[0] + w.shape[1]) * size[0] * size[1] for w, size in layers]
    budget = sum(w.size * size[0] * size[1] for w, size in layers) / ratio
    states, steps = {0: 0.0}, []
    for (weight, _), price in zip(layers, unit):
        spectrum = np.cumsum(original_spectrum(weight))
        new, step = {}, {}
        for cost, value in states.items():
            for rank in range(1, min(len(spectrum), weight.shape[0]) + 1):
                total = cost + rank * price
                candidate = value + math.log(spectrum[rank - 1])
                if total <= budget and (total not in new or candidate > new[total]):
                    new[total], step[total] = candidate, (rank, cost)
        states = new
        steps.append(step)
    cost = max(states, key=states.get)
    objective, ranks = states[cost], []
    for step in reversed(steps):
        rank, cost = step[cost]
        ranks.append(rank)
    return ranks[::-1], objective
