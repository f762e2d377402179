from casb.catalog.factors import CATEGORIES, FACTORS, Family, Kind


def test_every_family_is_there() -> None:
    counts = {family: sum(factor.family is family for factor in FACTORS.values()) for family in Family}
    assert counts == {Family.GENERAL: 13, Family.SECURITY: 26, Family.COMPLIANCE: 29, Family.LEGAL: 17}


def test_enums_and_flag_sets_name_their_values() -> None:
    for factor in FACTORS.values():
        if factor.kind in (Kind.ENUM, Kind.FLAGS):
            assert factor.values, factor.id


def test_categories_are_47() -> None:
    assert len(CATEGORIES) == 47
