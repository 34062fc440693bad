import torch

from elfzoo.nn import ElementEmbedding


def test_hydrogen_is_the_reference_whatever_the_weights():
    torch.manual_seed(0)
    embedding = ElementEmbedding(3)
    with torch.no_grad():
        for parameter in embedding.parameters():
            parameter.normal_()
    rows = embedding(torch.tensor([1, 20, 1, 118]))
    assert torch.equal(rows[0], torch.tensor([1.0, 0.0, 0.0]))
    assert torch.equal(rows[0], rows[2])
    assert not torch.allclose(rows[1], rows[3])


def test_118_finite_rows_from_tabulated_properties_alone():
    embedding = ElementEmbedding(4)
    assert not embedding.residual.any()
    rows = embedding(torch.arange(1, 119)).detach()
    assert rows.shape == (118, 4)
    assert torch.isfinite(rows).all()
    assert len(torch.unique(rows, dim=0)) == 118


def test_properties_are_saved_with_the_weights():
    assert "properties" in ElementEmbedding(2).state_dict()


def test_hidden_residuals_leave_the_properties():
    embedding, z = ElementEmbedding(3, dropout=1.0), torch.tensor([1, 20, 57])
    torch.nn.init.normal_(embedding.residual)
    plain = ElementEmbedding(3)
    plain.network.load_state_dict(embedding.network.state_dict())
    torch.testing.assert_close(embedding.train()(z), plain(z))
    assert not torch.allclose(embedding.eval()(z)[1:], plain(z)[1:])
    embedding.dropout = 0.5
    seen = torch.stack([embedding.train()(z)[1] for _ in range(30)])
    assert len(torch.unique(seen.round(decimals=5), dim=0)) == 4  # with and without its own and hydrogen's
    torch.testing.assert_close(embedding(z)[0], torch.tensor([1.0, 0.0, 0.0]))
