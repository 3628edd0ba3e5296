use super::*;

const COCO: Layout = Layout::Arrays { required: &["annotations"], optional: &["images"] };

/// Array, key, value, offset and line of each element, and the arrays of the file.
type Seen = (Vec<(&'static str, String, String, u64, u64)>, Vec<&'static str>);

fn scan(bytes: &[u8], layout: Layout, chunk: usize) -> Result<Seen, Error> {
    let mut seen = Vec::new();
    let mut elements = JsonElements::new(Path::new("some.json"), layout);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for piece in bytes.chunks(chunk) {
        elements.push(piece, &mut |element| {
            let place = element.offset as usize;
            assert_eq!(&bytes[place..place + element.bytes.len()], element.bytes, "lies where it says");
            let (key, value) = (text(element.key()), text(element.value()));
            seen.push((element.array, key, value, element.offset, element.line));
            Ok(())
        })?;
    }
    Ok((seen, elements.finish()?))
}

/// The result for every chunk size, which must be one and the same.
fn same_for_all_chunks(bytes: &[u8], layout: Layout) -> Result<Seen, String> {
    let whole = scan(bytes, layout, 64 << 10).map_err(|error| error.to_string());
    for chunk in [1, 2, 3, 7] {
        let cut = scan(bytes, layout, chunk).map_err(|error| error.to_string());
        assert_eq!(cut, whole, "chunks of {chunk} in {}", String::from_utf8_lossy(bytes));
    }
    whole
}

fn values(bytes: &str, layout: Layout) -> Vec<String> {
    same_for_all_chunks(bytes.as_bytes(), layout).unwrap().0.into_iter().map(|seen| seen.2).collect()
}

fn refusal(bytes: &str, layout: Layout) -> String {
    let message = same_for_all_chunks(bytes.as_bytes(), layout).unwrap_err();
    message.lines().next().unwrap().to_string()
}

#[test]
fn a_list_gives_its_elements() {
    assert_eq!(values("[]", Layout::List), Vec::<String>::new());
    assert_eq!(values(" [ \n ] \n", Layout::List), Vec::<String>::new());
    assert_eq!(
        values(r#"[{"a":"}],[\"\\"}, [1,[2]],"x\"" , 12 ,-1.5e+3,null,true]"#, Layout::List),
        [r#"{"a":"}],[\"\\"}"#, "[1,[2]]", r#""x\"""#, "12", "-1.5e+3", "null", "true"]
    );
}

#[test]
fn several_arrays_come_in_the_order_of_the_file() {
    let file = "\u{feff}{\n \"info\": {\"annotations\": [7]}, \"type\":\"x\",\n \"annotations\" : [ {\"a\":1},\n  \
                {\"b\":\"é\"} ],\n \"n\":3, \"images\":[\n{}]}\n";
    let (seen, arrays) = same_for_all_chunks(file.as_bytes(), COCO).unwrap();
    assert_eq!(arrays, ["annotations", "images"]);
    let short: Vec<_> = seen.iter().map(|seen| (seen.0, seen.2.as_str(), seen.4)).collect();
    assert_eq!(
        short,
        [("annotations", "{\"a\":1}", 3), ("annotations", "{\"b\":\"é\"}", 4), ("images", "{}", 6)]
    );
}

#[test]
fn members_come_with_their_keys() {
    let file = "{\"01\" : {\"a\":1},\n\n\"0\\\"2\":[\"}\"], \"03\":4}";
    let (seen, arrays) = same_for_all_chunks(file.as_bytes(), Layout::Members).unwrap();
    assert!(arrays.is_empty());
    let member =
        |key: &str, value: &str, offset, line| ("", key.to_string(), value.to_string(), offset, line);
    assert_eq!(
        seen,
        [
            member("\"01\"", "{\"a\":1}", 1, 1),
            member("\"0\\\"2\"", "[\"}\"]", 18, 3),
            member("\"03\"", "4", 32, 3)
        ]
    );
    assert!(values("{}", Layout::Members).is_empty());
}

#[test]
fn the_frame_is_checked_to_the_byte() {
    let list = |file| refusal(file, Layout::List);
    assert_eq!(list(""), "some.json:1: is empty");
    assert_eq!(list(" \n"), "some.json:2: the file ends (byte 2) where an outermost list `[` is due");
    assert_eq!(list("{}"), "some.json:1: found `{` (byte 0) where an outermost list `[` is due");
    assert_eq!(list("\u{1F600}"), "some.json:1: found byte 0xF0 (byte 0) where an outermost list `[` is due");
    assert_eq!(list("[1\n2]"), "some.json:2: found `2` (byte 3) where `,` or `]` is due");
    assert_eq!(list("[1,]"), "some.json:1: found `]` (byte 3) where a value is due");
    assert_eq!(list("[,1]"), "some.json:1: found `,` (byte 1) where a value or `]` is due");
    assert_eq!(list("[1]]"), "some.json:1: found `]` (byte 3) where the end of the file is due");
    assert_eq!(
        list("[1"),
        "some.json:1: the file ends (byte 2) inside the element that begins in line 1 (byte 1)"
    );
    assert_eq!(list("[\n{\"a\":\n"), {
        "some.json:3: the file ends (byte 8) inside the element that begins in line 2 (byte 2)"
    });
    assert_eq!(list("[{},"), "some.json:1: the file ends (byte 4) where a value is due");
    assert_eq!(list("[{}"), "some.json:1: the file ends (byte 3) where `,` or `]` is due");

    let arrays = |file| refusal(file, COCO);
    assert_eq!(arrays("[]"), "some.json:1: found `[` (byte 0) where an outermost object `{` is due");
    assert_eq!(arrays("{}"), "some.json: has no key \"annotations\"");
    assert_eq!(arrays("{\"images\":[]}"), "some.json: has no key \"annotations\"");
    assert_eq!(arrays("{\"annotations\":{}}"), {
        "some.json:1: found `{` (byte 15) where the list `[` of \"annotations\" is due"
    });
    assert_eq!(
        arrays("{\"annotations\":[],\n\"annotations\":[]}"),
        "some.json:2: has the key \"annotations\" twice (byte 32)"
    );
    assert_eq!(arrays("{\"a\" 1}"), "some.json:1: found `1` (byte 5) where `:` is due");
    assert_eq!(arrays("{\"a\":}"), "some.json:1: found `}` (byte 5) where a value is due");
    assert_eq!(arrays("{\"a\":1 \"b\":2}"), "some.json:1: found `\"` (byte 7) where `,` or `}` is due");
    assert_eq!(arrays("{\"a\":1,}"), "some.json:1: found `}` (byte 7) where a key is due");
    assert_eq!(arrays("{1:2}"), "some.json:1: found `1` (byte 1) where a key or `}` is due");
    assert_eq!(arrays("{\"\\q\":2}"), "some.json:1: a key cannot be read (byte 1)");
    assert_eq!(arrays("{\"a"), "some.json:1: the file ends (byte 3) where the end of a key is due");
    assert_eq!(
        arrays("{\"a\":{\"b\""),
        "some.json:1: the file ends (byte 9) where the end of a value is due"
    );
    assert_eq!(arrays("\u{feff}\u{feff}{}"), {
        "some.json:1: found byte 0xEF (byte 3) where an outermost object `{` is due"
    });
    let members = |file| refusal(file, Layout::Members);
    assert_eq!(members("{\"a\":1,2}"), "some.json:1: found `2` (byte 7) where a key is due");
    assert_eq!(members("{\"a\":"), "some.json:1: the file ends (byte 5) where a value is due");
}

#[test]
fn depth_is_counted_and_not_recursed() {
    let deep = format!("[{}{},1]", "[".repeat(1 << 20), "]".repeat(1 << 20));
    let (seen, _) = scan(deep.as_bytes(), Layout::List, 4 << 10).unwrap();
    assert_eq!((seen.len(), seen[0].2.len()), (2, 2 << 20));
    let deep = format!("{{\"x\":{}{},\"annotations\":[1]}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert_eq!(scan(deep.as_bytes(), COCO, 4 << 10).unwrap().0.len(), 1);
}

#[test]
fn an_endless_element_ends_the_scan_and_not_the_memory() {
    let mut elements = JsonElements::new(Path::new("some.json"), Layout::List);
    let mut none = |_: Element<'_>| -> Result<(), Error> { panic!("no element is complete") };
    elements.push(b"[\n\"", &mut none).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let refused = (0..80).find_map(|_| elements.push(&chunk, &mut none).err()).unwrap().to_string();
    assert!(
        refused.starts_with("some.json:2: the element that begins here (byte 2) is longer than"),
        "{refused}"
    );
    assert!(elements.carry.capacity() <= 2 * MAX_ELEMENT);

    // What nobody asked for may be as long as it likes: it is not kept.
    let mut elements = JsonElements::new(Path::new("some.json"), COCO);
    elements.push(b"{\"info\":\"", &mut none).unwrap();
    for _ in 0..80 {
        elements.push(&chunk, &mut none).unwrap();
    }
    assert!(elements.carry.is_empty());
}

/// Whatever serde_json makes of the whole file, the scanner finds the same elements.
#[test]
fn mutants_agree_with_a_parser_that_reads_the_whole_file() {
    let files = [
        (Layout::List, r#"[{"id":1,"t":"a \"b\" \\"},{"id":2,"t":["x",{"y":null}]}, "s", 3 ]"#),
        (COCO, r#"{"images":[{"id":7}],"annotations":[{"id":1,"t":"{["},{"id":2}]}"#),
        (Layout::Members, r#"{"a":{"q":"é"},"b":[1,2],"c":"\u00e9"}"#),
    ];
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let mut whole_files = 0;
    for (layout, file) in files {
        for _ in 0..1000 {
            let mut bytes = file.as_bytes().to_vec();
            let at = next(bytes.len());
            let structural = b"{}[]\",:\\ \n0at";
            match next(4) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes[at] = structural[next(structural.len())],
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, structural[next(structural.len())]),
            }
            let seen = same_for_all_chunks(&bytes, layout);
            let Ok(whole) = serde_json::from_slice::<serde_json::Value>(&bytes) else { continue };
            let (elements, members): (Vec<serde_json::Value>, bool) = match (layout, &whole) {
                (Layout::List, serde_json::Value::Array(list)) => (list.clone(), false),
                (Layout::Members, serde_json::Value::Object(members)) => {
                    (members.values().cloned().collect(), true)
                }
                (Layout::Arrays { .. }, serde_json::Value::Object(members)) => {
                    let wanted =
                        members.iter().filter(|(key, _)| matches!(key.as_str(), "images" | "annotations"));
                    if !members.contains_key("annotations")
                        || wanted.clone().any(|(_, list)| !list.is_array())
                    {
                        assert!(seen.is_err(), "{whole}");
                        continue;
                    }
                    (wanted.flat_map(|(_, list)| list.as_array().unwrap().clone()).collect(), false)
                }
                _ => {
                    assert!(seen.is_err(), "{whole}");
                    continue;
                }
            };
            whole_files += 1;
            let seen = seen.unwrap_or_else(|error| panic!("{error} in {whole}")).0;
            let parsed: Vec<serde_json::Value> =
                seen.iter().map(|seen| serde_json::from_str(&seen.2).unwrap()).collect();
            // A key that a mutant doubles is two members here and one there.
            assert!(parsed == elements || members && parsed.len() == elements.len() + 1, "{whole}");
        }
    }
    assert!(whole_files > 300, "the test must meet files that are still whole: {whole_files}");
}
