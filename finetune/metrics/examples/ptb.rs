//! scratch
fn main() {
    let text = std::io::read_to_string(std::io::stdin()).unwrap();
    let lines: Vec<&str> = text.split('\n').collect();
    let out = finetune_metrics::captions::ptb::tokenize_all(&lines);
    print!("{}", out.join("\n"));
}
