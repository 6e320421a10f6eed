"""avo.latents.networks: the decoder's convolutions, tap by tap."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from avo.latents import BetaVAE
from avo.latents.networks import Upsampling


def test_upsampling_is_a_convolution_that_doubles() -> None:
    model = BetaVAE.make(jax.random.key(0), (11, 2), latents=3, network="conv1d", width=4, depth=2)
    net, z = model.decoder, np.array([0.3, -1.1, 0.8])
    assert isinstance(net, Upsampling) and net.sizes == (3, 6, 11)
    silu = lambda a: a / (1 + np.exp(-a))  # noqa: E731
    h = (np.asarray(net.head.weight) @ z + np.asarray(net.head.bias)).reshape(3, 4)
    for layer, size in zip(net.layers, (6, 11), strict=True):
        h = silu(h)
        w, b = np.asarray(layer.weight), np.asarray(layer.bias)
        out = np.zeros((2 * len(h), len(b) // 2))
        for i in range(len(h)):
            for half in range(2):
                for c in range(out.shape[1]):
                    row = half * out.shape[1] + c
                    out[2 * i + half, c] = b[row]
                    for tap in range(5):
                        if 0 <= i + tap - 2 < len(h):
                            out[2 * i + half, c] += w[row, tap * 4 : tap * 4 + 4] @ h[i + tap - 2]
        h = out[:size]
    np.testing.assert_allclose(np.asarray(eqx.filter_jit(net)(jnp.asarray(z))).reshape(11, 2), h, rtol=1e-10)
