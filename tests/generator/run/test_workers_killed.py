"""Work on the workers of a Dask cluster: what comes back is what would have been made here, whoever is lost."""

import os
import random
import signal
import threading
import time

import numpy as np
import pytest
from darkpenguin import InputError, read_events, run, scan, sensitivity, toys
from darkpenguin.generator.run import workers
from darkpenguin.generator.run.workers import Workers, check_dask, in_order
from darkpenguin.kinematics.base.errors import TryAgainError

distributed = pytest.importorskip("distributed")
CARD = {"channels": ["B0->K*0mumu", "B+->K+mumu"], "model": "fig2", "events": 2000, "seed": 3}
TOYS = {"hypotheses": ["sm"], "observables": ["R_K+"], "bins": [1.1, 6.0], "fit": {}, "toys": 2500, "theory": False}
G_MU_V = {"key": "light_vectors.0.g_mu_v", "min": 0.0, "max": 0.2, "points": 9}
SCAN = {
    "data": "2017",
    "theory": "none",
    "axes": [{**G_MU_V, "key": "light_vectors.0.mass", "min": 2, "max": 3}, G_MU_V],
}
QUESTION = {"observables": ["R_K+"], "toys": 2500, "theory": False}


def slow(start, stop):
    time.sleep(0.05)
    return np.arange(start, stop)


def killed(start, stop):
    os.kill(os.getpid(), signal.SIGKILL)


def failing(start, stop):
    raise InputError(f"toys = {start}: no")


def same(one, other):
    assert list(one) == list(other)
    for name, column in one.items():
        assert np.asarray(column).tobytes() == np.asarray(other[name]).tobytes(), name


@pytest.fixture(scope="module")
def cluster():
    """Two workers of one thread, in processes of their own."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0, silence_logs=60
    ) as cluster:
        yield cluster


def test_events_and_results_are_those_of_one_core(tmp_path, cluster):
    address = cluster.scheduler_address
    there, here = tmp_path / "there.root", tmp_path / "here.root"
    run(CARD, output=str(there), dask=address)
    run(CARD, output=str(here), threads=1)
    same(read_events(there).columns, read_events(here).columns)
    with Workers(address) as some:
        assert [piece for piece, _ in some.in_order(slow, [(0, 2), (2, 3)])] == [(0, 2), (2, 3)]
        with pytest.raises(InputError, match="toys = 0: no"):
            list(some.in_order(failing, [(0, 2)]))


def test_what_is_no_cluster():
    for dask in ("local", "local:0", "local:x", "host", ""):
        with pytest.raises(InputError, match="dask = "):
            check_dask(dask)


def test_no_scheduler_answers(monkeypatch):
    monkeypatch.setattr(workers, "_CONNECT", 0.5)
    with pytest.raises(InputError, match="no scheduler answers"):
        list(in_order(slow, [(0, 1)], "tcp://127.0.0.1:9"))


@pytest.mark.slow
def test_toys_scans_and_sensitivities_are_those_of_one_core(tmp_path, cluster):
    address = cluster.scheduler_address
    same(toys(TOYS, tmp_path / "t.root", dask=address).columns, toys(TOYS, threads=1).columns)
    same(scan(SCAN, dask=address).chi2, scan(SCAN).chi2)
    there, here = sensitivity(QUESTION, dask=address), sensitivity(QUESTION, threads=1)
    assert there.to_dict() == here.to_dict()
    for key, pair in here.distributions.items():
        for one, other in zip(there.distributions[key], pair, strict=True):
            assert one.tobytes() == other.tobytes()


@pytest.mark.slow
def test_workers_are_killed_all_the_time(tmp_path, monkeypatch):
    """Others take over, the nannies start new ones, and every column is the same."""
    clusters, stop, kills = [], threading.Event(), [0]
    make = distributed.LocalCluster

    def made(*arguments, **keys):
        clusters.append(make(*arguments, **keys))
        return clusters[-1]

    def kill():
        draw = random.Random(1)
        while not stop.wait(5.0):
            numbers = [worker.pid for one in clusters for worker in one.workers.values() if worker.pid]
            if numbers:
                os.kill(draw.choice(numbers), signal.SIGKILL)
                kills[0] += 1

    monkeypatch.setattr(distributed, "LocalCluster", made)
    card = {**CARD, "events": 3_000_000, "beam": "lhcb-13tev", "selection": {"cuts": ["pt(lp) > 1"]}}
    there, here = tmp_path / "there.root", tmp_path / "here.root"
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run(card, output=str(there), dask="local:3")
    finally:
        stop.set()
        killer.join()
    assert kills[0] > 0
    run(card, output=str(here), threads=1)
    same(read_events(there).columns, read_events(here).columns)


@pytest.mark.slow
def test_a_local_cluster_is_closed_in_5_seconds():
    for _, _ in in_order(slow, [(0, 1), (1, 2)], "local:2"):
        ended = time.monotonic()
    assert time.monotonic() - ended < 5.0


@pytest.mark.slow
def test_lost_workers_are_worth_another_try(cluster, monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 2.0)
    with Workers(cluster.scheduler_address) as some, pytest.raises(TryAgainError, match="lost"):
        list(some.in_order(killed, [(0, 1)]))
    empty = distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=60)
    with empty, pytest.raises(TryAgainError, match="no worker for 2 s"):
        list(in_order(slow, [(0, 1)], empty.scheduler_address))
