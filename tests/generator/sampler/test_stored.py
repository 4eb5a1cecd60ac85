"""Tables on disk: the same to the bit, keyed by all they depend on, bounded, and made again where damaged."""

import os

import numpy as np
import pytest
from darkpenguin.generator.run.card import make_card
from darkpenguin.generator.sampler import stored as tables
from darkpenguin.generator.sampler.stored import sampling_table, stored
from darkpenguin.generator.sampler.tables import Table, channel_table
from darkpenguin.kinematics.base.cache import keep_newest
from darkpenguin.physics.channels import get_channel
from darkpenguin.physics.models import get_model

CHANNEL = get_channel("B+->K+mumu")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(tables, "SLOW", 0.0)
    return tmp_path


def make():
    return channel_table(CHANNEL, get_model("fig2"), q2_ranges=[(1.0, 6.0)])


def table_of(card):
    return sampling_table(CHANNEL, card.model, card.kpi, card.flavour, card.convention, card.q2, card.veto)


def never():
    raise AssertionError("it was there already")


def test_a_table_is_read_back_to_the_bit(own_cache):
    first = stored(Table, "key", make)
    again = stored(Table, "key", never)
    for name in ("kind", "coefficients", "q2", "left", "right", "flavour", "ranges"):
        one, other = getattr(first, name), getattr(again, name)
        assert type(one) is type(other)
        assert np.array_equal(one, other)
    assert not again.coefficients.flags.writeable


def test_what_is_damaged_is_made_again(own_cache):
    stored(Table, "key", make)
    [path] = own_cache.glob("table-*.npz")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(RuntimeWarning, match="damaged .checksum differs. and is made again"):
        assert np.array_equal(stored(Table, "key", make).q2, make().q2)
    stored(Table, "key", never)


def test_all_that_a_table_depends_on_is_in_its_key(own_cache):
    base = {"channels": "B+->K+mumu", "events": 1, "q2": [(1.0, 2.0)]}
    changes = [
        {},
        {"model": "fig2"},
        {"set": "width=running", "model": "fig2"},
        {"flavour": "b"},
        {"convention": "theory"},
        {"q2": [(1.0, 2.5)]},
        {"veto": [(1.2, 1.3)]},
        {"theory": {"parameters": {"Vcb": 0.04}}},
        {"theory": {"nonlocal": "resonances"}},
        {"theory": {"nonlocal": "resonances", "resonances": {"J/psi": {"phase": 1.0}}}},
    ]
    for number, change in enumerate(changes):
        for _ in range(2):
            table_of(make_card(**{**base, **change}))
        assert len(list(own_cache.glob("table-*.npz"))) == number + 1
    table_of(make_card(**{**base, "seed": 7, "events": 10}))
    table_of(make_card(**{**base, "kpi": "pwave"}))  # a K has no K pi pair
    assert len(list(own_cache.glob("table-*.npz"))) == len(changes)


def test_the_room_is_bounded_and_the_oldest_give_way(tmp_path):
    for number in range(5):
        path = tmp_path / f"table-{number}.npz"
        path.write_bytes(b"x" * 100)
        os.utime(path, (number, number))
    keep_newest(tmp_path, "table-*.npz", size=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table-3.npz", "table-4.npz"]


def test_a_quick_table_is_not_kept(own_cache, monkeypatch):
    monkeypatch.setattr(tables, "SLOW", 1e9)
    stored(Table, "key", make)
    assert list(own_cache.glob("table-*.npz")) == []
