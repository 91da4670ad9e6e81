"""Section 3: arithmetic."""

from generators.common import Draw


def half(shift):
    return 2 ** (shift - 1) if shift >= 1 else 0


def clamp(value, low, high):
    return low if value < low else high if value > high else value


def fits_48(value):
    return -2 ** 47 <= value < 2 ** 47


def requantise(acc, m, r, m_res, b, s, low, wide):
    total = acc * m + r * m_res + b + half(s)
    assert fits_48(total) and fits_48(acc * m) and fits_48(b)
    assert -2 ** 17 <= m < 2 ** 17 and -2 ** 17 <= m_res < 2 ** 17
    shifted = total // 2 ** s          # floor: the arithmetic shift
    return clamp(shifted, -2 ** 31, 2 ** 31 - 1) if wide else clamp(shifted, low, 127)


def convolve(a, in_shape, w, w_shape, stride, padding, pad_value):
    """acc as a flat list over (oy, ox, k), and its (height, width)."""
    height, width, channels = in_shape
    outputs, _, kernel_height, kernel_width = w_shape
    out_height = (height + 2 * padding - kernel_height) // stride + 1
    out_width = (width + 2 * padding - kernel_width) // stride + 1
    result = []
    for oy in range(out_height):
        for ox in range(out_width):
            for k in range(outputs):
                total = 0
                for ky in range(kernel_height):
                    for kx in range(kernel_width):
                        for c in range(channels):
                            y = oy * stride + ky - padding
                            x = ox * stride + kx - padding
                            inside = 0 <= y < height and 0 <= x < width
                            value = a[(y * width + x) * channels + c] if inside else pad_value
                            total += value * w[((k * kernel_height + ky) * kernel_width + kx) * channels + c]
                result.append(total)
    return result, out_height, out_width


def max_pool(y, height, width, channels, kernel, stride, padding):
    out_height = (height + 2 * padding - kernel) // stride + 1
    out_width = (width + 2 * padding - kernel) // stride + 1
    result = []
    for py in range(out_height):
        for px in range(out_width):
            for k in range(channels):
                inside = []
                for dy in range(kernel):
                    for dx in range(kernel):
                        row, column = py * stride + dy - padding, px * stride + dx - padding
                        if 0 <= row < height and 0 <= column < width:
                            inside.append(y[(row * width + column) * channels + k])
                result.append(max(inside))
    return result, out_height, out_width


def average(values, pm, ps):
    total = sum(values) * pm + half(ps)
    assert fits_48(total) and -2 ** 17 <= pm < 2 ** 17 and 1 <= ps <= 47
    return clamp(total // 2 ** ps, -128, 127)


def arithmetic_vectors():
    draw = Draw(4)
    names = ["acc", "m", "r", "m_res", "b", "s", "low", "wide", "y"]
    rows = []

    def add(acc, m, r, m_res, b, s, low=-128, wide=False):
        rows.append([acc, m, r, m_res, b, s, low, int(wide), requantise(acc, m, r, m_res, b, s, low, wide)])

    for value in range(-6, 7):                       # ties and their neighbours, both signs
        add(value, 1, 0, 0, 0, 1)
        add(value, 1, 0, 0, 0, 2)
        add(value, 1, 0, 0, 0, 0)
        add(0, 0, value, 1, 0, 1, 0)
        add(value, -3, 0, 0, 1, 2)
    for s in (1, 4, 8, 16, 20, 30, 40, 46):          # exactly at, one below and one above a tie
        for whole in (-129, -128, -3, -1, 0, 1, 126, 127):
            if not fits_48((2 * whole + 2) * 2 ** s):
                continue
            for off in (-1, 0, 1):
                add(0, 0, 0, 0, whole * 2 ** s + half(s) + off, s)
    for s in (0, 3, 17):                             # saturation both sides, with each low
        for low in (-128, 0):
            for value in (-2 ** 20, -129, -128, -127, -1, 0, 1, 127, 128, 2 ** 20):
                add(value, 2 ** min(s, 16), 0, 0, value if s > 16 else 0, s, low)
    for b in (-2 ** 47, -2 ** 47 + 1, -2 ** 46 - 1, -2 ** 46, -1, 0, 1, 2 ** 46 - 1):    # shift 47
        add(0, 0, 0, 0, b, 47)
        add(0, 0, 0, 0, b, 47, wide=True)
    for b in (-2 ** 47, -2 ** 31 - 1, -2 ** 31, -2 ** 31 + 1, 2 ** 31 - 2, 2 ** 31 - 1, 2 ** 31, 2 ** 47 - 1):
        add(0, 0, 0, 0, b, 0, wide=True)
        add(0, 0, 0, 0, b, 0)
    for m in (-2 ** 17, -2 ** 17 + 1, 2 ** 17 - 1):  # extreme multipliers
        for acc in (-2 ** 26, -1, 1, 2 ** 26):
            add(acc, m, -128, m, 0, 24)
            add(acc, m, 127, -2 ** 17, 12345, 10, wide=True)
    for _ in range(150):
        s = draw.integer(0, 36)
        acc, m = draw.integer(-2 ** 18, 2 ** 18), draw.integer(-2 ** 17, 2 ** 17 - 1)
        r, m_res = draw.integer(-128, 127), draw.integer(-2 ** 17, 2 ** 17 - 1)
        target = draw.integer(-200, 200) * 2 ** s + draw.integer(0, 2 ** s)
        b = target - acc * m - r * m_res
        if fits_48(b):
            add(acc, m, r, m_res, b, s, draw.integer(-1, 0) * 128, draw.random() < 0.2)

    averages = []
    for values, pm, ps in [
            ([1, 2], 1, 1), ([-1, -2], 1, 1), ([3, 4], 1, 1), ([-3, -4], 1, 1), ([5], 1, 1), ([-5], 1, 1),
            ([127] * 4, 1, 1), ([-128] * 4, 1, 1), ([127] * 49, 2 ** 17 - 1, 22), ([-128] * 64, 2 ** 16, 22),
            ([-128] * 9, -2 ** 17, 20), ([127] * 16, 2 ** 17 - 1, 47), ([-128] * 16, 2 ** 17 - 1, 47), ([0] * 4, 5, 3),
            ([draw.integer(-128, 127) for _ in range(49)], 85599, 22),
            ([draw.integer(-128, -90) for _ in range(64)], 65536, 22),
            ([draw.integer(0, 127) for _ in range(9)], 116508, 20), ([draw.integer(-20, 20) for _ in range(4)], 1, 2)]:
        averages.append({"values": values, "pm": pm, "ps": ps, "y": average(values, pm, ps)})

    layers = []

    def add_layer(note, in_shape, outputs, kernel, stride=1, padding=0, weight=1, offset_input=False,
                  offset_output=False, relu=False, residual=None, wide=False, pool=None, shift=12, spread=100,
                  kernel_width=None):
        height, width, channels = in_shape
        kernel_width = kernel_width or kernel
        w_shape = (outputs, channels, kernel, kernel_width)
        fan_in = channels * kernel * kernel_width
        # True values first (what the tensors mean), stored values from them.
        true_input = [draw.integer(0, 255) if offset_input else draw.integer(-128, 127)
                      for _ in range(height * width * channels)]
        a = [value - 128 if offset_input else value for value in true_input]
        w = [draw.integer(-weight, weight) for _ in range(outputs * fan_in)]
        pad_value = -128 if offset_input else 0
        acc, map_height, map_width = convolve(a, in_shape, w, w_shape, stride, padding, pad_value)
        true_acc, _, _ = convolve(true_input, in_shape, w, w_shape, stride, padding, 0)
        largest = max(1, max(abs(value) for value in true_acc))
        limit = max(1, min(2 ** 17 - 1, spread * 2 ** shift // largest))
        m = [draw.integer(-limit, limit) for _ in range(outputs)]
        true_b = [draw.integer(-spread * 2 ** shift // 3, spread * 2 ** shift) for _ in range(outputs)]
        offset_residual = residual == "offset"
        if residual is None:
            true_r, m_res = [0] * len(acc), 0
        else:
            true_r = [draw.integer(0, 255) if offset_residual else draw.integer(-128, 127) for _ in acc]
            m_res = draw.integer(-2 ** shift, 2 ** shift) if shift < 17 else draw.integer(-2 ** 16, 2 ** 16)
        r = [value - 128 if offset_residual else value for value in true_r]
        low = 0 if relu and not offset_output else -128
        b = []
        for k in range(outputs):
            value = true_b[k]
            if offset_input:
                value += 128 * sum(w[k * fan_in:(k + 1) * fan_in]) * m[k]
            if offset_residual:
                value += 128 * m_res
            if offset_output:
                value -= 128 * 2 ** shift
            b.append(value)
        y = []
        for i, value in enumerate(acc):
            k = i % outputs
            y.append(requantise(value, m[k], r[i], m_res, b[k], shift, low, wide))
            # The same without offsets: the true output is in 0..255 where the output is offset.
            true_sum = (true_acc[i] * m[k] + true_r[i] * m_res + true_b[k] + half(shift)) // 2 ** shift
            if wide:
                expected = clamp(true_sum, -2 ** 31, 2 ** 31 - 1)
            elif offset_output:
                expected = clamp(true_sum, 0, 255) - 128
            else:
                expected = clamp(true_sum, low, 127)
            assert y[-1] == expected
        case = {"note": note, "input_shape": list(in_shape), "input": a, "weight_shape": list(w_shape), "weights": w,
                "stride": stride, "padding": padding, "pad_value": pad_value, "m": m, "b": b, "s": shift,
                "m_res": m_res, "residual": r if residual else None, "low": low, "wide": wide, "pool": pool,
                "map_shape": [map_height, map_width, outputs], "map": y}
        if pool is None:
            output, out_height, out_width = y, map_height, map_width
        elif pool["kind"] == "max":
            output, out_height, out_width = max_pool(
                y, map_height, map_width, outputs, pool["kernel"], pool["stride"], pool["padding"])
        else:
            output, out_height, out_width = [], 1, 1
            for k in range(outputs):
                output.append(average(y[k::outputs], pool["pm"], pool["ps"]))
        case["output_shape"] = [out_height, out_width, outputs]
        case["output"] = output
        layers.append(case)

    pool_max = {"kind": "max", "kernel": 3, "stride": 2, "padding": 1}
    add_layer("3x3, signed input, ReLU", (5, 6, 3), 4, 3, padding=1, weight=3, relu=True)
    add_layer("3x3, no ReLU, no padding", (4, 5, 2), 3, 3, weight=7, spread=250)
    add_layer("offset input and output, stride 2", (7, 6, 3), 3, 3, stride=2, padding=1, offset_input=True,
              offset_output=True, relu=True, spread=350)
    add_layer("offset input, signed output without ReLU", (4, 4, 4), 3, 3, padding=1, offset_input=True)
    add_layer("offset output, signed input", (4, 3, 4), 3, 3, padding=1, offset_output=True, relu=True)
    add_layer("offset everywhere, offset residual", (4, 4, 5), 5, 3, padding=1, weight=1, offset_input=True,
              offset_output=True, residual="offset", relu=True, shift=14)
    add_layer("signed residual", (5, 3, 3), 4, 3, padding=1, weight=2, residual="signed", relu=True)
    add_layer("1x1, stride 2", (5, 5, 4), 3, 1, stride=2, weight=7)
    add_layer("1x1, stride 3, residual", (7, 4, 3), 3, 1, stride=3, weight=7, residual="signed")
    add_layer("5x5, padding 2, maximum pool 3/2/1", (6, 7, 2), 3, 5, padding=2, relu=True, pool=pool_max)
    add_layer("3x3, all negative values through the maximum pool", (5, 5, 2), 2, 3, padding=1, pool=pool_max, spread=60,
              offset_output=True)
    add_layer("maximum pool 2/2/0 on an odd map", (5, 7, 2), 3, 1, weight=7,
              pool={"kind": "max", "kernel": 2, "stride": 2, "padding": 0})
    add_layer("maximum pool 3/3/2", (5, 4, 2), 2, 1, weight=7,
              pool={"kind": "max", "kernel": 3, "stride": 3, "padding": 2})
    add_layer("maximum pool with residual, offset", (4, 4, 3), 3, 3, padding=1, offset_input=True, offset_output=True,
              residual="offset", relu=True, pool=pool_max)
    add_layer("average pool", (7, 7, 3), 4, 1, weight=3, relu=True, pool={"kind": "average", "pm": 85599, "ps": 22})
    add_layer("average pool, offset, residual", (4, 4, 3), 3, 3, padding=1, offset_input=True, offset_output=True,
              residual="offset", relu=True, pool={"kind": "average", "pm": 65536, "ps": 20})
    add_layer("average pool that saturates", (3, 3, 2), 4, 1, weight=3, spread=120,
              pool={"kind": "average", "pm": 8191, "ps": 13})
    add_layer("wide classifier on a 1x1 map", (1, 1, 20), 10, 1, weight=7, wide=True, shift=3, spread=5000)
    add_layer("wide, offset input, shift 0, m in full range", (1, 1, 12), 5, 1, weight=127, wide=True,
              offset_input=True, shift=0, spread=2 ** 33)
    add_layer("wide on a larger map", (2, 3, 4), 3, 1, weight=1, wide=True, shift=0, spread=90000)
    add_layer("kernel as large as the map, shift 0", (3, 3, 2), 4, 3, weight=1, shift=0, spread=300)
    add_layer("one pixel, kernel 5, padding 4", (1, 1, 3), 2, 5, padding=4, weight=3, offset_input=True,
              offset_output=True)
    add_layer("even kernel 2, stride 3, padding 1", (6, 5, 3), 3, 2, stride=3, padding=1, weight=2)
    add_layer("stride larger than the kernel", (6, 6, 2), 3, 1, stride=4, weight=7, offset_input=True)
    add_layer("run of 66 bytes, large shift", (3, 4, 22), 3, 3, padding=1, weight=1, shift=24, offset_input=True,
              offset_output=True, relu=True)
    return {
        "what": "requantise: rows of the named columns, y from the others (wide is 0 or 1). averages: the average pool "
                "of one channel. layers: whole layers of stored values: input, residual, map (before the pool) and "
                "output are flat in order (y, x, channel), shapes likewise; weights flat in canonical order (out, ky, "
                "kx, c), weight_shape (out, in, ky, kx); m and b per output channel; residual null: none.",
        "specification": "3. Arithmetic", "columns": names, "requantise": rows, "averages": averages, "layers": layers}
