//! As much of `PromQL` as it takes to see which metrics, labels and label values an expression speaks of.

/// One selector.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    /// Each label with the values that are written out; none for a pattern.
    pub labels: Vec<(String, Vec<String>)>,
}

/// What an expression speaks of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Spoken {
    pub selectors: Vec<Selector>,
    /// Labels in `by`, `without`, `on`.
    pub grouping: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

const CLAUSES: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Reads an expression; also Grafana's `label_values(metric, label)`.
pub fn spoken(expression: &str) -> Spoken {
    let tokens = tokens(expression);
    let mut spoken = Spoken::default();
    let mut rest = &tokens[..];
    while let Some((token, tail)) = rest.split_first() {
        rest = tail;
        let Token::Word(word) = token else { continue };
        match tail.first() {
            Some(Token::Mark('(')) if CLAUSES.contains(&word.as_str()) => {
                let (inside, tail) = until(&tail[1..], ')');
                rest = tail;
                spoken.grouping.extend(inside.iter().filter_map(|token| match token {
                    Token::Word(label) => Some(label.clone()),
                    Token::Text(_) | Token::Mark(_) => None,
                }));
            }
            Some(Token::Mark('(')) => {}
            Some(Token::Mark('{')) => {
                let (inside, tail) = until(&tail[1..], '}');
                rest = tail;
                spoken.selectors.push(Selector { metric: word.clone(), labels: matchers(inside) });
            }
            // Operators, durations and labels have no underscore; metrics have one, but for `up`.
            _ if word.contains(['_', ':']) || word == "up" => {
                spoken.selectors.push(Selector { metric: word.clone(), labels: Vec::new() });
            }
            _ => {}
        }
    }
    spoken
}

fn until(tokens: &[Token], end: char) -> (&[Token], &[Token]) {
    let at = tokens.iter().position(|token| *token == Token::Mark(end)).expect("a closing bracket");
    (&tokens[..at], &tokens[at + 1..])
}

/// `label = "value"`, `label =~ "one|two"`, and so on.
fn matchers(tokens: &[Token]) -> Vec<(String, Vec<String>)> {
    let one = |tokens: &[Token]| {
        let (Some(Token::Word(label)), Some(Token::Text(text))) = (tokens.first(), tokens.last()) else {
            panic!("{tokens:?}")
        };
        let plain = |value: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let values: Vec<_> = text.split('|').map(str::to_owned).collect();
        (label.clone(), if values.iter().all(|value| plain(value)) { values } else { Vec::new() })
    };
    tokens.split(|token| *token == Token::Mark(',')).filter(|tokens| !tokens.is_empty()).map(one).collect()
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, tail) = token(first, rest);
        tokens.extend(token);
        rest = tail.trim_start();
    }
    tokens
}

/// The next token, if it is one of interest, and what follows.
fn token(first: char, rest: &str) -> (Option<Token>, &str) {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    match first {
        '"' => {
            let (text, tail) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')).expect("a closing quote");
            (Some(Token::Text(text.to_owned())), tail)
        }
        '[' => (None, rest.split_once(']').expect("a closing bracket").1),
        c if in_word(c) => {
            let (word, tail) = rest.split_at(rest.find(|c| !in_word(c)).unwrap_or(rest.len()));
            ((!c.is_ascii_digit()).then(|| Token::Word(word.to_owned())), tail)
        }
        c => (Some(Token::Mark(c)), rest.split_at(c.len_utf8()).1),
    }
}

#[test]
fn metrics_labels_and_values_are_found() {
    let spoken = spoken(
        r#"sum by (job, le) (rate(a_total{x="1",y=~"b|c",z!~"$v"}[5m])) / 2.5e3 > 0 and on (job) up == 1 offset 1w
           or time() - b_c:d > 7"#,
    );
    let selector = |metric: &str, labels: &[(&str, &[&str])]| Selector {
        metric: metric.into(),
        labels: labels
            .iter()
            .map(|(name, values)| ((*name).into(), values.iter().map(|v| (*v).into()).collect()))
            .collect(),
    };
    let a_total = selector("a_total", &[("x", &["1"]), ("y", &["b", "c"]), ("z", &[])]);
    assert_eq!(spoken.selectors, [a_total, selector("up", &[]), selector("b_c:d", &[])]);
    assert_eq!(spoken.grouping, ["job", "le", "job"]);
}
