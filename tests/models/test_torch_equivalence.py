"""Attention blocks and whole networks equal torch's own with the same weights."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from qmend.encodings import Batch
from qmend.models.attention import Attention, DecoderBlock, SelfAttentionBlock
from qmend.models.base import Architecture, Dimensions, build_model, model_config
from qmend.models.perceiver import PerceiverEncoder, PerceiverSizes
from qmend.models.sequences import OutcomeTokens, masked_mean, positions

DIMENSIONS = Dimensions(n_qubits=3, token=6, context=4)
LENGTHS = [5, 9, 1, 0, 7]


def build(name: str, **fields) -> tuple[Architecture, Batch]:
    """A small network in evaluation mode, weights moved off their start, and ragged batch."""
    torch.manual_seed(7)
    model = build_model(model_config({"name": name, "width": 16, "depth": 2, **fields}), DIMENSIONS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    mask = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    batch = Batch(
        tokens=torch.randn(5, 9, 6) * mask[..., None],
        mask=mask,
        context=torch.randn(5, 4),
        noisy=torch.rand(5, 8).softmax(dim=1),
        readout=torch.zeros(5, 3),
        shots=torch.full((5, 1), 1000.0),
    )
    return model.eval(), batch


def copy_attention(theirs: nn.MultiheadAttention, ours: Attention) -> None:
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())


def torch_encoder_layer(block: SelfAttentionBlock) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        16, 4, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    copy_attention(layer.self_attn, block.attention)
    layer.norm1.load_state_dict(block.norm.state_dict())
    layer.norm2.load_state_dict(block.feed_forward[0].state_dict())
    layer.linear1.load_state_dict(block.feed_forward[1].state_dict())
    layer.linear2.load_state_dict(block.feed_forward[4].state_dict())
    return layer


def torch_decoder_layer(block: DecoderBlock) -> nn.TransformerDecoderLayer:
    layer = nn.TransformerDecoderLayer(
        16, 4, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    copy_attention(layer.self_attn, block.attention)
    copy_attention(layer.multihead_attn, block.cross)
    layer.norm1.load_state_dict(block.norm.state_dict())
    layer.norm2.load_state_dict(block.norm_cross.state_dict())
    layer.norm3.load_state_dict(block.feed_forward[0].state_dict())
    layer.linear1.load_state_dict(block.feed_forward[1].state_dict())
    layer.linear2.load_state_dict(block.feed_forward[4].state_dict())
    return layer


def joined(model: Architecture, batch: Batch, k: int, with_noisy: bool) -> Tensor:
    """(1, 1 + L, W) of circuit k alone: one linear map of each layer's concatenation."""
    length = LENGTHS[k]
    layers = torch.cat([torch.zeros(1, 6), batch.tokens[k, :length]])
    parts = [layers, batch.context[k].expand(length + 1, -1)]
    weights = [model.layers.layer.weight, model.layers.context.weight]
    if with_noisy:
        parts.append(8 * batch.noisy[k].expand(length + 1, -1))
        weights.append(model.layers.noisy.weight)
    x = torch.cat(parts, dim=1) @ torch.cat(weights, dim=1).T + model.layers.layer.bias
    return x[None]


# Blocks


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torchs_with_the_same_weights(masked):
    torch.manual_seed(1)
    ours = Attention(16, heads=4, dropout=0.0)
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, s = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    mask = torch.ones(3, 7, dtype=torch.bool)
    if masked:
        mask[0, 4:], mask[2, :3] = False, False
    expected, _ = theirs(x, s, s, key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, s, mask), expected, atol=1e-6, rtol=1e-5)
    if not masked:
        torch.testing.assert_close(ours(x, s), expected, atol=1e-6, rtol=1e-5)


def test_attention_is_softmax_of_scaled_products():
    """One head, written out."""
    torch.manual_seed(2)
    block = Attention(6, heads=1, dropout=0.0)
    x, s = torch.randn(2, 3, 6), torch.randn(2, 4, 6)
    key, value = block.key_value(s).split(6, dim=-1)
    weights = torch.softmax(block.query(x) @ key.transpose(1, 2) / 6**0.5, dim=-1)
    torch.testing.assert_close(block(x, s), block.out(weights @ value), atol=1e-6, rtol=1e-5)


def test_a_self_attention_block_equals_torchs_pre_norm_layer():
    torch.manual_seed(3)
    block = SelfAttentionBlock(16, 4, 0.0)
    layer = torch_encoder_layer(block)
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(block(x), layer(x), atol=1e-5, rtol=1e-5)
    mask = torch.tensor([[True] * 5, [True, True, False, True, False]])
    expected = layer(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(block(x, mask), expected, atol=1e-5, rtol=1e-5)
    assert (expected - layer(x)).abs().max() > 1e-3


def test_a_decoder_block_equals_torchs_pre_norm_layer():
    torch.manual_seed(3)
    block = DecoderBlock(16, 4, 0.0)
    layer = torch_decoder_layer(block)
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    torch.testing.assert_close(block(x, memory), layer(x, memory), atol=1e-5, rtol=1e-5)
    mask = torch.tensor([[True] * 5, [True, True, False, True, False]])
    memory_mask = torch.tensor([[True] * 6 + [False], [False] * 2 + [True] * 5])
    expected = layer(x, memory, tgt_key_padding_mask=~mask, memory_key_padding_mask=~memory_mask)
    torch.testing.assert_close(block(x, memory, mask, memory_mask), expected, atol=1e-5, rtol=1e-5)


def test_dropout_acts_in_training_only():
    torch.manual_seed(4)
    block = Attention(8, heads=2, dropout=0.5)
    x = torch.randn(2, 3, 8)
    block.train()
    assert not torch.equal(block(x, x), block(x, x))
    block.eval()
    assert torch.equal(block(x, x), block(x, x))


def test_the_encoder_knows_the_order_of_tokens_and_takes_any_length():
    torch.manual_seed(5)
    sizes = PerceiverSizes(
        name="perceiver",
        encoding="token",
        latents=3,
        width=8,
        depth=1,
        cross_heads=2,
        self_heads=2,
        dropout=0.0,
    )
    encoder = PerceiverEncoder(6, sizes, positions=10).eval()
    with torch.no_grad():
        encoder.position.mul_(20)
    tokens, mask = torch.randn(2, 30, 6), torch.ones(2, 30, dtype=torch.bool)
    extra = torch.randn(2, 1, 8)
    out = encoder(tokens, mask, extra)
    assert out.shape == (2, 3, 8)
    swapped = tokens.clone()
    swapped[:, [0, 5]] = tokens[:, [5, 0]]
    assert (encoder(swapped, mask, extra) - out).abs().max() > 1e-3
    beyond = tokens.clone()
    beyond[:, [15, 25]] = tokens[:, [25, 15]]  # these share the last position
    torch.testing.assert_close(encoder(beyond, mask, extra), out, atol=1e-5, rtol=1e-5)


# Whole networks, circuit by circuit and without padding


@pytest.mark.parametrize("head", ["correction", "prediction"])
def test_the_transformer_equals_torchs_encoder(head):
    model, batch = build("tf", heads=4, head=head)
    layers = [torch_encoder_layer(block).eval() for block in model.blocks]
    out = model(batch)
    for k in range(len(LENGTHS)):
        x = joined(model, batch, k, head == "prediction")
        x = x + positions(x)
        for layer in layers:
            x = layer(x)
        values = model.readout.mlp(model.norm(x).mean(dim=1))[0]
        factor = 8 * batch.noisy[k] if head == "correction" else 1.0
        torch.testing.assert_close(out[k], (values * factor).softmax(0), atol=1e-5, rtol=1e-5)


def test_the_memory_transformer_equals_torchs_decoder():
    model, batch = build("tfm", heads=4)
    layers = [torch_decoder_layer(block).eval() for block in model.blocks]
    out = model(batch)
    for k in range(len(LENGTHS)):
        x = joined(model, batch, k, with_noisy=False)
        x = x + positions(x)
        for layer in layers:
            x = layer(x, model.memory(batch.noisy[[k]]))
        values = model.readout.mlp(model.norm(x).mean(dim=1))[0]
        torch.testing.assert_close(out[k], values.softmax(0), atol=1e-5, rtol=1e-5)


def test_the_noisy_encoder_equals_torchs_decoder_over_outcomes():
    model, batch = build("noisy_enc", heads=4)
    layers = [torch_decoder_layer(block).eval() for block in model.blocks]
    out = model(batch)
    for k in range(len(LENGTHS)):
        x = joined(model, batch, k, with_noisy=False)
        memory = model.norm_layers(x + positions(x))
        y = model.outcomes(batch.noisy[[k]])
        for layer in layers:
            y = layer(y, memory)
        values = model.value(model.norm(y))[0, :, 0]
        torch.testing.assert_close(out[k], values.softmax(0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("head", ["correction", "prediction"])
def test_the_rnn_equals_torchs_on_packed_sequences(cell, head):
    """Bidirectional packing would differ; the last state of a packed sequence is ours."""
    model, batch = build("rnn", cell=cell, head=head)
    theirs = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](16, 16, 2, batch_first=True)
    theirs.load_state_dict(model.recurrent.state_dict())
    out = model(batch)
    x, _ = model.layers(batch)
    for k in range(len(LENGTHS)):
        expected = joined(model, batch, k, head == "prediction")
        torch.testing.assert_close(x[[k], : LENGTHS[k] + 1], expected, atol=1e-5, rtol=1e-5)
    lengths = torch.tensor(LENGTHS) + 1
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    _, state = theirs(packed)
    values = model.readout.mlp(state[-1] if cell == "gru" else state[0][-1])
    factor = 8 * batch.noisy if head == "correction" else 1.0
    torch.testing.assert_close(out, (values * factor).softmax(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", ["correction", "prediction"])
def test_the_mlp_equals_matrix_products_of_the_flattened_input(head):
    model, batch = build("mlp", max_length=12, head=head)
    flat = torch.zeros(5, 12 * 6 + 4 + (8 if head == "prediction" else 0))
    flat[:, : 9 * 6] = batch.tokens.reshape(5, -1)
    flat[:, 12 * 6 : 12 * 6 + 4] = batch.context
    if head == "prediction":
        flat[:, 12 * 6 + 4 :] = 8 * batch.noisy
    values = flat
    linears = [layer for layer in model.network if isinstance(layer, nn.Linear)]
    for layer in linears:
        values = values @ layer.weight.T + layer.bias
        if layer is not linears[-1]:
            values = values * (1 + torch.erf(values / 2**0.5)) / 2  # GELU
    factor = 8 * batch.noisy if head == "correction" else 1.0
    torch.testing.assert_close(model(batch), (values * factor).softmax(1), atol=1e-5, rtol=1e-5)


# Sequences


@pytest.mark.parametrize("width", [6, 7])
def test_positions_are_sines_and_cosines(width):
    """Written out; and a shift of the position is a rotation in each (sin, cos) plane."""
    table = positions(torch.zeros(1, 40, width))
    half = -(-width // 2)
    for length, k in [(0, 0), (3, 1), (39, 2)]:
        angle = torch.tensor(length / 10000 ** (2 * k / width))
        torch.testing.assert_close(table[length, k], angle.sin())
        torch.testing.assert_close(table[length, half + k], angle.cos())
    assert table.shape == (40, width)


def test_the_mean_is_over_tokens_alone():
    x = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [False, False, False, True]])
    torch.testing.assert_close(masked_mean(x, mask), torch.stack([x[0, :2].mean(0), x[1, 3]]))


def test_an_outcome_token_knows_its_bits_and_its_frequency():
    """Bit q of an index is qubit q; the token is a function of the two and of nothing else."""
    torch.manual_seed(8)
    module = OutcomeTokens(DIMENSIONS, 16)
    noisy = torch.rand(2, 8).softmax(dim=1)
    tokens = module(noisy)
    for x in range(8):
        signs = torch.tensor([(-1.0) ** (x >> q & 1) for q in range(3)])
        for row in range(2):
            features = torch.cat([8 * noisy[row, [x]], signs])
            torch.testing.assert_close(tokens[row, x], module.norm(module.embed(features)))
    assert "signs" not in module.state_dict()
