"""Tables of sensitivities never show an infinity, and have a cell for every column."""

import dataclasses

import numpy as np
from darkpenguin.generator.toys.sensitivity import sensitivity
from darkpenguin.generator.toys.tables import luminosity_text, summary_rows, versus_header, versus_rows


def test_rows_and_what_is_out_of_reach():
    found = sensitivity(
        truth="sm",
        null="sm",
        observables=["R_K+"],
        toys=0,
        versus="heavy.C9_mu,-1,0,2",
        limit="heavy.C9_mu=1",
    )
    head, rows = versus_header(found), versus_rows(found)
    assert head == ["heavy.C9_mu", "R_K+", "limit on heavy.C9_mu"]
    assert [len(row) for row in rows] == [3, 3]
    assert rows[1][1] == summary_rows(found)[0][1] == "> 9e+04"
    assert float(rows[0][1]) == float(f"{found.versus.required['R_K+'][0]:.3g}")
    assert luminosity_text(np.inf, found) == "> 9e+04"
    assert np.isnan(found.records()[0]["required"])
    never = dataclasses.replace(found.limits[0].asymptotic, value=np.inf, band=(1.0, 2.0, np.inf, np.inf, np.inf))
    text = dataclasses.replace(found.limits[0], asymptotic=never)
    assert "not limited" in text.sentence()
    some = dataclasses.replace(
        text, asymptotic=dataclasses.replace(never, value=3.0, intervals=((0, 3.0), (5.0, np.inf)))
    )
    assert "inf" not in some.sentence()
    assert some.to_dict()["band"][2] is None
