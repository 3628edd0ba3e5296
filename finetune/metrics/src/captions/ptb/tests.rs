use super::tokenize;

#[test]
fn smoke() {
    assert_eq!(tokenize("A man can't stop."), "a man ca n't stop");
}
