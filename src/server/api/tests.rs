//! The description and the code name the same methods. That it tells the truth about them is tested over HTTP.

use std::collections::BTreeSet;

use super::DESCRIPTION;
use super::call::Method;

#[test]
fn every_method_is_described() {
    let description: serde_json::Value = serde_json::from_str(DESCRIPTION).unwrap();
    let described: BTreeSet<&str> = description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected: BTreeSet<String> = Method::ALL.iter().map(|(name, _)| format!("/api/{name}")).collect();
    expected.extend(["/api", super::DESCRIPTION_PATH].map(str::to_owned));
    assert_eq!(described, expected.iter().map(String::as_str).collect());
    assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
}
