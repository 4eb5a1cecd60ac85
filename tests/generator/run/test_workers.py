"""Work on the workers of a Dask cluster: what comes back is what would have been made here, whoever is lost."""

import os
import random
import signal
import threading
import time

import numpy as np
import pytest
from darkpenguin import InputError, make_card, read_events, run, scan, sensitivity, toys
from darkpenguin.generator.commands.cli import app
from darkpenguin.generator.run import reduce, workers
from darkpenguin.generator.run.generate import execute
from darkpenguin.generator.run.plan import plan_run
from darkpenguin.generator.run.workers import Workers, check_dask, in_order
from darkpenguin.generator.scans import scan as scans
from darkpenguin.generator.toys import files
from darkpenguin.kinematics.base.errors import TryAgainError
from typer.testing import CliRunner

distributed = pytest.importorskip("distributed")
CARD = {"channels": ["B0->K*0mumu", "B+->K+mumu"], "model": "fig2", "events": 20_000, "seed": 3}
TOYS = {"hypotheses": ["sm"], "observables": ["R_K+"], "bins": [1.1, 6.0], "fit": {}, "toys": 25, "theory": False}
G_MU_V = {"key": "light_vectors.0.g_mu_v", "min": 0.0, "max": 0.2, "points": 9}
SCAN = {
    "data": "2017",
    "theory": "none",
    "axes": [{**G_MU_V, "key": "light_vectors.0.mass", "min": 2, "max": 3, "points": 2}, G_MU_V],
}
QUESTION = {"observables": ["R_K+"], "toys": 25, "theory": False}


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


def cluster_of(number):
    """A cluster of so many workers of one thread, in processes of their own."""
    return distributed.LocalCluster(
        n_workers=number, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0, silence_logs=60
    )


@pytest.fixture(scope="module")
def cluster():
    cluster = cluster_of(2)
    yield cluster
    workers._close(cluster)


class Killer:
    """Kills one of a cluster's workers within so many seconds after every so many chunks of a run, at random."""

    def __init__(self, cluster, every, seconds):
        self.cluster, self.every, self.seconds = cluster, every, seconds
        self.draw, self.chunks, self.kills, self.threads = random.Random(1), 0, 0, []

    def __call__(self, events):
        self.chunks += 1
        if self.chunks % self.every == 0:
            self.threads.append(threading.Timer(self.draw.uniform(0.0, self.seconds), self.kill))
            self.threads[-1].start()

    def kill(self):
        numbers = [worker.pid for worker in self.cluster().workers.values() if worker.pid]
        if numbers:
            os.kill(self.draw.choice(numbers), signal.SIGKILL)
            self.kills += 1

    def join(self):
        for thread in self.threads:
            thread.join()


def kept(monkeypatch):
    """The local clusters that are started from now on."""
    clusters, make = [], distributed.LocalCluster

    def made(*arguments, **keys):
        clusters.append(make(*arguments, **keys))
        return clusters[-1]

    monkeypatch.setattr(distributed, "LocalCluster", made)
    return clusters


def test_events_and_results_are_those_of_one_core(tmp_path, cluster, monkeypatch):
    """Also if a worker is killed on the way: the other makes what it had."""
    address = cluster.scheduler_address
    there, here = (make_card(CARD, output=str(tmp_path / name)) for name in ("there.root", "here.root"))
    killer = Killer(lambda: cluster, 8, 0.0)  # of ten chunks
    execute(plan_run(there), killer, chunk=4096, dask=address)
    killer.join()
    assert killer.kills == 1
    execute(plan_run(here))
    same(read_events(there.output).columns, read_events(here.output).columns)
    reduced(tmp_path, address, monkeypatch)
    with Workers(address) as some:
        assert [piece for piece, _ in some.in_order(slow, [(0, 2), (2, 3)])] == [(0, 2), (2, 3)]
        with pytest.raises(InputError, match="toys = 0: no"):
            list(some.in_order(failing, [(0, 2)]))


def reduced(folder, address, monkeypatch):
    """Histograms are those of one core: counts exactly, sums of weights to the rounding of their order."""
    monkeypatch.setattr(reduce, "_PIECE", 8192)
    axis = {"column": "q2", "bins": 10, "min": 0, "max": 20}
    histograms = {"q2": {"axes": axis}, "moment": {"axes": axis, "weight": "cos_theta_l"}}
    one, other = (
        reduce.read(run(CARD, reduce=histograms, output=str(folder / name), dask=dask).files[0])
        for name, dask in (("one.root", None), ("other.root", address))
    )
    assert one.histograms["q2"].entries == 40_000
    for name, histogram in one.histograms.items():
        found = other.histograms[name]
        assert (histogram.entries, histogram.undefined) == (found.entries, found.undefined)
        np.testing.assert_allclose(histogram.values, found.values, rtol=1e-11, atol=1e-11)
    assert (one.histograms["q2"].values == other.histograms["q2"].values).all()
    np.testing.assert_allclose(one.histograms["moment"].squares, other.histograms["moment"].squares, rtol=1e-12)


def test_what_is_no_cluster():
    for dask in ("local", "local:0", "local:x", "host", ""):
        with pytest.raises(InputError, match="dask = "):
            check_dask(dask)


def test_no_scheduler_answers(monkeypatch):
    monkeypatch.setattr(workers, "_CONNECT", 0.5)
    with pytest.raises(InputError, match="no scheduler answers"):
        list(in_order(slow, [(0, 1)], "tcp://127.0.0.1:9"))


@pytest.mark.parametrize("part", ["LocalCluster", "Client"])
def test_no_cluster_can_be_started(monkeypatch, part):
    """Processes that cannot be started are worth another try, in one line; what was started by then is ended."""

    def failing(*_, **__):  # Dask's own words
        raise RuntimeError("Cluster failed to start: [Errno 11] Resource temporarily unavailable")

    clusters = kept(monkeypatch)
    monkeypatch.setattr(distributed, part, failing)
    with pytest.raises(TryAgainError, match=r"dask = 'local:1': no cluster could be started .*; run it again") as error:
        list(in_order(slow, [(0, 1)], "local:1"))
    assert "\n" not in str(error.value)
    assert [cluster.status.name for cluster in clusters] == ["closed"] * (part == "Client")


def test_workers_that_are_lost_for_good_are_worth_another_try(tmp_path, monkeypatch):
    """Exit code 75 of a command, and nothing is left behind."""
    monkeypatch.setattr(workers, "PATIENCE", 0.5)
    output = tmp_path / "x.root"
    with cluster_of(0) as empty:
        words = ["generate", "--channel", "B+->K+mumu", "--events", "10", "--output", str(output)]
        done = CliRunner().invoke(app, [*words, "--dask", empty.scheduler_address])
        assert done.exit_code == 75
        assert "dask: no worker for" in done.output
        assert os.listdir(tmp_path) == []


def test_a_scheduler_that_goes_away_is_worth_another_try():
    with cluster_of(0) as gone:
        leaving = threading.Timer(0.5, gone.close)
        leaving.start()
        with pytest.raises(TryAgainError, match="lost"):
            list(in_order(slow, [(0, 1)], gone.scheduler_address))
        leaving.join()


@pytest.mark.slow
def test_toys_scans_and_sensitivities_are_those_of_one_core(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 10)
    monkeypatch.setattr(scans, "_BLOCK", 4)
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
    """Others take over, the nannies start new ones, every column is the same, and the cluster is closed in 5 s."""
    clusters, ended = kept(monkeypatch), []
    keys = {"events": 500_000, "beam": "lhcb-13tev", "selection": {"cuts": ["pt(lp) > 1"]}}
    there, here = (make_card(CARD, output=str(tmp_path / name), **keys) for name in ("there.root", "here.root"))
    killer = Killer(lambda: clusters[0], 8, 1.0)

    def progress(events):
        ended[:] = [time.monotonic()]
        killer(events)

    execute(plan_run(there), progress, chunk=16_384, dask="local:3")
    assert time.monotonic() - ended[0] < 5.0
    killer.join()
    assert killer.kills >= 5
    run(here)
    same(read_events(there.output).columns, read_events(here.output).columns)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 1.0])
def test_a_piece_that_kills_its_workers_is_given_up(monkeypatch, seconds):
    """Also where a nanny asks late how its worker began: one that was killed by then it takes for the next, and its
    cluster's end fails an assertion of Dask's. Nothing of the cluster stays."""
    clusters = kept(monkeypatch)
    monkeypatch.setattr(workers, "_FAILURES", 3)
    monkeypatch.setattr(workers, "PATIENCE", 20.0)  # the nannies may both be wrong, and start none
    monkeypatch.setattr(distributed.nanny.WorkerProcess, "_init_msg_interval", seconds)
    with Workers("local:2") as some, pytest.raises(TryAgainError, match=r"were lost|no worker for"):
        list(some.in_order(killed, [(0, 1)]))
    assert clusters[0].status.name == clusters[0].scheduler.status.name == "closed"


@pytest.mark.slow
def test_a_cluster_that_fails_to_end_is_ended(monkeypatch):
    """A nanny that fails Dask's own assertion: no error of who asked for a result, no worker and no scheduler left."""
    clusters = kept(monkeypatch)
    with Workers("local:2") as some:
        assert len(list(some.in_order(slow, [(0, 2), (2, 3)]))) == 2
        numbers = [nanny.pid for nanny in clusters[0].workers.values()]
        join, said = distributed.process.AsyncProcess.join, []

        async def failing_once(self, timeout=None):
            said.append(self)
            assert len(said) > 1, "can only join a started process"
            return await join(self, timeout)

        monkeypatch.setattr(distributed.process.AsyncProcess, "join", failing_once)
    assert len(said) > 0
    assert clusters[0].status.name == clusters[0].scheduler.status.name == "closed"
    for number in numbers:
        waited = time.monotonic()
        while os.path.exists(f"/proc/{number}") and time.monotonic() - waited < 10.0:
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{number}")
