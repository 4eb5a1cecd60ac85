"""Sources of systematic error: the table ``systematics`` of a card, a row a source: size, shape and correlation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ...kinematics.base.checks import nearest
from ...kinematics.base.errors import InputError
from ...physics.channels import CHANNELS, LEPTONS
from ...physics.observables import BinnedObservable

Mode = Literal["measured", "drawn", "none"]
"""What nuisance parameters do in toys: true ones are nominal and their measurements fluctuate; every toy draws its own
true ones; neither."""
Kind = Literal["ratio", "rate", "resolution", "background", "background shape", "charm", "s wave"]
Group = Literal["hadron", "lepton", "channel", "bin", "component"]


def _words(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Source(BaseModel):
    """One source of systematic error.

    Attributes:
        kind: what it changes, by one standard deviation. ``ratio``: electrons found, over muons; ``rate``: events
            found; ``resolution``: the width of the reconstructed q2, relative; ``background``: the yield of components
            of the background; ``background shape``: their slope in q2, so that the ends of the window move by the size;
            ``charm``: the rate, by a shift of C9 of muons and electrons alike, which moves angular observables too;
            ``s wave``: F_S of the Kπ system, absolute, left in rates and angles of the K*.
        size: relative, where not said otherwise; None: what the data set says, or none.
        channels: where: names of channels, hadrons or leptons; ``all``.
        components: of the background, by name; all if empty.
        q2: range of q2 (GeV²) of the bins that it changes; a bin counts by its middle.
        shape: ``flat``; or ``slope``, from minus the size in the first of the bins to plus the size in the last.
        per: what has a parameter of its own: each ``hadron``, ``lepton``, ``channel``, ``bin`` of q2, ``component``.
            One parameter is common to all if empty.
        common: whether other data sets share it.
        fit: whether fits let it float; if not they take it for known.
        toys: what it does in toys; what the table says if None.

    >>> Source(kind="ratio", size=0.01, per="bin").per
    ('bin',)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Kind
    size: float | None = Field(default=0.0, ge=0, le=10)
    channels: Annotated[tuple[str, ...], BeforeValidator(_words)] = ("all",)
    components: Annotated[tuple[str, ...], BeforeValidator(_words)] = ()
    q2: tuple[float, float] | None = None
    shape: Literal["flat", "slope"] = "flat"
    per: Annotated[tuple[Group, ...], BeforeValidator(_words)] = ()
    common: bool = False
    fit: bool = True
    toys: Mode | None = None

    @model_validator(mode="after")
    def _check(self) -> Source:
        known = ["all", *LEPTONS, *dict.fromkeys(c.hadron for c in CHANNELS.values()), *CHANNELS]
        for name in self.channels:
            if name not in known:
                raise InputError(f"channels = {name!r}: no such channel, hadron or lepton; {nearest(name, known)}")
        if self.q2 is not None and not self.q2[0] < self.q2[1]:
            raise InputError(f"q2 = {self.q2[0]:g}, {self.q2[1]:g}: needs low < high (GeV^2)")
        return self

    def covers(self, one: BinnedObservable) -> bool:
        """Whether a bin of a channel is one that it changes."""
        channel = CHANNELS[str(one.channel)]
        here = {"all", channel.name, channel.hadron, channel.lepton} & set(self.channels)
        low, high = self.q2 or (0.0, 1e3)
        return bool(here) and low <= 0.5 * sum(one.window) <= high

    def group(self, one: BinnedObservable, component: str = "") -> str:
        """Name of the parameter of a bin: what the source has one for."""
        channel = CHANNELS[str(one.channel)]
        low, high = one.window
        words = {
            "hadron": channel.hadron,
            "lepton": str(channel.lepton),
            "channel": channel.name,
            "bin": f"{low:g}-{high:g}",
            "component": component,
        }
        return "_".join(words[key] for key in words if key in self.per)


BUILTIN: Mapping[str, Source] = MappingProxyType(
    {
        "efficiency": Source(kind="ratio", size=None, per=("hadron",)),
        "qed": Source(kind="ratio", size=0.01, common=True),
        "uncorrelated": Source(kind="ratio", per=("hadron", "bin")),
        "norm": Source(kind="rate", per=("hadron",)),
        "resolution": Source(kind="resolution", per=("channel",)),
        "background": Source(kind="background", size=None, per=("channel", "component")),
        "background_shape": Source(kind="background shape", size=None, per=("channel", "component")),
        "charm": Source(kind="charm", q2=(6.0, 8.7), per=("hadron", "bin"), common=True),
        "s_wave": Source(kind="s wave", per=("bin",)),
    }
)
"""Sources that a table knows by name. QED: 1 % of R, on by default (M. Bordone, G. Isidori, A. Pattori,
arXiv:1605.07633: what is left of radiation after the experiments' corrections)."""


class SystematicsTable(BaseModel):
    """Table ``systematics`` of a card: what toys do with nuisance parameters, and sources on top of the built-in ones.

    A word alone is ``toys``; a number alone is the size of a source.

    >>> table = SystematicsTable.model_validate({"qed": 0, "charm": {"size": 0.2}, "toys": "drawn"})
    >>> table.toys, table.sources["charm"].size, table.sources["charm"].per
    ('drawn', 0.2, ('hadron', 'bin'))
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    toys: Mode = "measured"
    sources: Mapping[str, Source] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"toys": value}
        if not isinstance(value, Mapping):
            return value
        rows = {**value.get("sources", {}), **{k: v for k, v in value.items() if k not in ("toys", "sources")}}
        found = {name: _row(name, row) for name, row in rows.items()}
        return {**{k: value[k] for k in ("toys",) if k in value}, "sources": found}


def charm_of(size: float) -> SystematicsTable:
    """A table with an error of charm alone, relative, on top of what is built in.

    >>> charm_of(0.2).sources["charm"].q2
    (6.0, 8.7)
    """
    return SystematicsTable.model_validate({"charm": size})


def _row(name: str, row: Any) -> Any:
    """A row on top of the built-in one of its name."""
    if isinstance(row, Source):
        return row
    fields = dict(row) if isinstance(row, Mapping) else {"size": row}
    if name in BUILTIN:
        return {**BUILTIN[name].model_dump(), **fields}
    if "kind" not in fields:
        kinds = ", ".join(get_args(Kind))
        raise InputError(
            f"systematics.{name}: no such source ({nearest(name, BUILTIN)}); one of your own needs kind: {kinds}"
        )
    return fields
