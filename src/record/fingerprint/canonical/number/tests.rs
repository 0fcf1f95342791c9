use super::is_clear;

#[test]
fn an_integer_up_to_2_to_the_53_is_clear_and_none_beyond() {
    for literal in
        ["0", "-0", "1", "-17", "9007199254740991", "9007199254740992", "-9007199254740992"]
    {
        assert!(is_clear(literal), "{literal}");
    }
    for literal in [
        "9007199254740993",
        "-9007199254740993",
        "9007199254740994",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "1000000000000000000000",
    ] {
        assert!(!is_clear(literal), "{literal}");
    }
}

#[test]
fn a_large_number_is_clear_if_a_double_represents_it() {
    for literal in
        ["1E30", "1e+30", "-1.5e300", "9007199254740992.0", "1.0e16", "9007199254740994e0"]
    {
        assert!(is_clear(literal), "{literal}");
    }
    for literal in [
        "9007199254740993.0",
        "9007199254740992.5",
        "900719925474099.3e1",
        "1.23456789012345678e30",
        "1e309",
        "-1e99999999999999999999",
        "100000000000000000000000000000000001e-1",
    ] {
        assert!(!is_clear(literal), "{literal}");
    }
}

#[test]
fn a_fraction_is_clear_up_to_17_digits_or_if_it_is_the_shortest_form() {
    for literal in [
        "333333333.33333329",
        "4.50",
        "2e-3",
        "0.1",
        "0.10000000000000001",
        "0.1000000000000000000000000000",
        "0.000000000000000000000000001",
        "-0.0",
        "0e-99999",
        "5e-324",
        "2.2250738585072014e-308",
    ] {
        assert!(is_clear(literal), "{literal}");
    }
    for literal in [
        "0.100000000000000005",
        "0.1000000000000000055511151231257827",
        "1e-400",
        "4e-324",
        "-1e-325",
        "7e-324",
    ] {
        assert!(!is_clear(literal), "{literal}");
    }
}
