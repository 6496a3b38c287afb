"""The shipped MiniLM encoder: its vectors are those of the reference implementation."""

import json

import numpy as np
import pytest

import aimodels
from aimodels.data.text.huggingface_tokenizers import as_theirs, encoder_inputs, from_huggingface
from aimodels.data.text.tokenizer_training import train
from aimodels.errors import UserError
from aimodels.training.exchange import export, import_weights
from aimodels.training.sentences import sentence_encoder

GPT2 = {"model_type": "gpt2", "vocab_size": 9, "n_embd": 4, "n_layer": 1, "n_head": 1}
GOLDEN = aimodels.__path__[0] + "/../tests/golden/sentence_embeddings.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture
def minilm(fetched_weights):
    pytest.importorskip("tokenizers")
    return fetched_weights("minilm_l6_v2").parent


def test_vectors_equal_the_reference(minilm, golden):
    encoder = sentence_encoder()
    sentences = golden["sentences"].tolist()
    batch = encoder_inputs(encoder.tokenizer, sentences)
    np.testing.assert_array_equal(batch["inputs"], golden["ids"])
    np.testing.assert_array_equal(batch["lengths"], golden["lengths"])
    found = encoder.encode(sentences)
    # transformers computed in float64; numbers are of order 0.05.
    np.testing.assert_allclose(found, golden["embeddings"], rtol=0, atol=1e-6)
    # Each of the first six has its like beside it.
    cosines = found @ found.T - 2 * np.eye(len(found))
    assert cosines[:6].argmax(-1).tolist() == [1, 0, 3, 2, 5, 4]
    near = encoder.nearest("Equities lost value.", sentences, count=2)
    assert {text for text, _ in near} == set(sentences[4:6])
    assert 1 > near[0][1] > near[1][1] > 0.3
    with pytest.raises(UserError, match="there are no texts"):
        encoder.encode([])


def test_it_comes_in_by_its_name_and_goes_out_as_a_folder(minilm, golden, tmp_path):
    parameters = import_weights(
        "minilm_l6_v2",
        tmp_path / "run",
        naming="huggingface",
        overrides={"model.head": "sentence"},
    )
    assert parameters == 22_565_376
    loaded = aimodels.load(tmp_path / "run")
    found = loaded.predict(golden["ids"], lengths=golden["lengths"])
    np.testing.assert_allclose(found, golden["embeddings"], rtol=0, atol=1e-6)
    export(tmp_path / "run", tmp_path / "out", naming="huggingface")
    again = sentence_encoder(str(tmp_path / "out"))
    np.testing.assert_allclose(
        again.encode(golden["sentences"].tolist()[:2]), golden["embeddings"][:2], atol=1e-6
    )


def test_a_folder_that_is_no_encoders_is_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.json can't be read: No such file"):
        sentence_encoder(str(tmp_path))
    for text, says in (
        ("{", "is not JSON"),
        ("[]", "is no JSON object"),
        ('{"model_type": "bert"}', "vocab_size is None"),
        (json.dumps(GPT2), "is a GPT; vectors of sentences are BERT's"),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match=says):
            sentence_encoder(str(tmp_path))


def test_tokenizers_come_in_and_go_out():
    pytest.importorskip("tokenizers")
    texts = ["the cat sat on the mat", "a dog sat on a log"] * 20
    trained = train("wordpiece", texts, 60, special_tokens=("[PAD]", "[CLS]", "[SEP]"))
    content = json.loads(as_theirs(trained.to_json()))
    content["padding"] = {
        "strategy": {"Fixed": 9},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    special = {name: trained.id_of(name) for name in ("[CLS]", "[SEP]")}
    content["post_processor"] = {
        "type": "BertProcessing",
        "sep": ["[SEP]", special["[SEP]"]],
        "cls": ["[CLS]", special["[CLS]"]],
    }
    read = from_huggingface(json.dumps(content), 60)
    assert read.kind == "wordpiece"
    plain = trained.encode("a cat").tolist()
    assert read.encode("a cat").tolist() == plain  # not padded
    pair = ["a cat", "a dog"], ["the mat sat on a log", "a"]
    batch = encoder_inputs(read, *pair)
    first, last = special["[CLS]"], special["[SEP]"]
    second = trained.encode("the mat sat on a log").tolist()
    assert batch["inputs"][0].tolist() == [first, *plain, last, *second, last]
    assert batch["token_types"][0].tolist() == [0] * (len(plain) + 2) + [1] * (len(second) + 1)
    ends = batch["lengths"]
    assert ends[0] > ends[1]
    assert batch["inputs"][1, ends[1] :].tolist() == [0] * (ends[0] - ends[1])
    cut = encoder_inputs(read, *pair, max_length=6)
    assert cut["lengths"].tolist() == [6, 6]
    assert (cut["inputs"] == last).sum(1).tolist() == [2, 2]
    for text, says in (
        ("{}", "no tokenizer.json"),
        ('{"model": {"type": "BPEE"}}', "unknown type"),
    ):
        with pytest.raises(UserError, match=says):
            from_huggingface(text, 60)
    with pytest.raises(UserError, match=r"has ids up to .* a vocabulary of 20: they don't"):
        from_huggingface(json.dumps(content), 20)
    with pytest.raises(UserError, match="puts no special tokens"):
        encoder_inputs(train("bytes", texts), ["a"])
    with pytest.raises(UserError, match="there are no texts"):
        encoder_inputs(read, [])
