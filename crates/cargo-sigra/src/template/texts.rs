//! The texts that the template's macros translate: `t!`, `before!` and `after!`, in Rust and in pages.

use std::{ops::Range, str::FromStr};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A call of one of the macros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where the call is in the file. In a page, this includes the braces around it.
    pub range: Range<usize>,
    pub part: Part,
    /// The text, or two for one and for many.
    pub texts: Vec<String>,
    pub values: Vec<Value>,
}

/// The part of the text that a macro returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    Before,
    After,
}

/// A value in a text, and the code that computes it: `email = user.email`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub name: String,
    pub code: String,
}

/// A mistake in the template. Tests find it before users do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the template's `{path}` has a text that can't be read: `{code}`")]
pub struct TextError {
    path: String,
    code: String,
}

/// Returns the calls in a file, in their order. Other files than Rust and pages have none.
pub fn calls(path: &str, text: &str) -> Result<Vec<Call>, TextError> {
    let failed = |code: &str| TextError { path: path.to_owned(), code: code.to_owned() };
    match path.rsplit('.').next() {
        Some("rs") => {
            let tokens = TokenStream::from_str(text).map_err(|_| failed("the whole file"))?;
            let mut found = Vec::new();
            collect(tokens, text, &mut found).map_err(|code| failed(&code))?;
            Ok(found)
        }
        Some("html" | "txt") => of_page(text).map_err(|code| failed(&code)),
        _ => Ok(Vec::new()),
    }
}

/// Collects the calls in code. An error is the code that can't be read.
fn collect(tokens: TokenStream, text: &str, found: &mut Vec<Call>) -> Result<(), String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        if is_definition(&tokens[..index]) {
            continue;
        }
        let name = match index.checked_sub(2).map(|start| &tokens[start..index]) {
            Some([TokenTree::Ident(name), TokenTree::Punct(mark)]) if mark.as_char() == '!' => name,
            _ => {
                collect(group.stream(), text, found)?;
                continue;
            }
        };
        let Some(part) = part(&name.to_string()).filter(|_| group.delimiter() == Delimiter::Parenthesis) else {
            collect(group.stream(), text, found)?;
            continue;
        };
        let range = name.span().byte_range().start..group.span().byte_range().end;
        let call = parse(group, text, range.clone(), part).ok_or_else(|| text[range].to_owned())?;
        found.push(call);
    }
    Ok(())
}

/// Returns whether these tokens begin the definition of a macro, which can call itself.
fn is_definition(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Ident(keyword), TokenTree::Punct(_), TokenTree::Ident(_)] if keyword == "macro_rules")
}

/// Returns whether code has a call of one of the macros, which can't be within another.
fn has_calls(code: &[TokenTree]) -> bool {
    let stream: TokenStream = code.iter().cloned().collect();
    let text = stream.to_string();
    ["t !", "t!", "before !", "before!", "after !", "after!"].iter().any(|name| {
        text.match_indices(name).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

fn part(name: &str) -> Option<Part> {
    match name {
        "t" => Some(Part::Whole),
        "before" => Some(Part::Before),
        "after" => Some(Part::After),
        _ => None,
    }
}

/// Parses the arguments of a call: one or two texts, then values.
fn parse(group: &Group, text: &str, range: Range<usize>, part: Part) -> Option<Call> {
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if mark.as_char() == ',');
    let mut texts = Vec::new();
    let mut values = Vec::new();
    for argument in tokens.split(is_comma).filter(|argument| !argument.is_empty()) {
        match argument {
            [TokenTree::Literal(literal)] if values.is_empty() => {
                texts.push(syn::parse_str::<syn::LitStr>(&literal.to_string()).ok()?.value());
            }
            [TokenTree::Ident(name)] => values.push(Value { name: name.to_string(), code: name.to_string() }),
            [TokenTree::Ident(name), TokenTree::Punct(mark), code @ ..]
                if mark.as_char() == '=' && !has_calls(code) =>
            {
                let (first, last) = (code.first()?, code.last()?);
                let code = &text[first.span().byte_range().start..last.span().byte_range().end];
                values.push(Value { name: name.to_string(), code: code.to_owned() });
            }
            _ => return None,
        }
    }
    (1..=2).contains(&texts.len()).then_some(Call { range, part, texts, values })
}

/// Finds the calls in the expressions of a page. Each is an expression of its own. Comments count too: they can become
/// code.
fn of_page(text: &str) -> Result<Vec<Call>, String> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = text[rest..].find("{{").map(|start| rest + start) {
        let end = text[start..].find("}}").map(|end| start + end).ok_or_else(|| text[start..].to_owned())?;
        let range = start..end + 2;
        let code = &text[start + 2..end];
        let tokens = TokenStream::from_str(code.trim_matches(['-', '~', '+'])).map_err(|_| code.to_owned())?;
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        if let [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(group)] = &tokens[..]
            && let Some(part) = part(&name.to_string()).filter(|_| mark.as_char() == '!')
        {
            let code = code.trim_matches(['-', '~', '+']);
            found.push(parse(group, code, range.clone(), part).ok_or_else(|| code.to_owned())?);
        }
        rest = range.end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, code: &str) -> Value {
        Value { name: name.to_owned(), code: code.to_owned() }
    }

    #[test]
    fn texts_are_found_in_code() {
        let code =
            r#"fn f() { g(t!("Log \"in\"")); vec![t!("Hi {a}, {b}", a, b = x.y(1, 2)).to_owned()] } // t!("no")"#;
        let found = calls("a.rs", code).expect("calls");
        assert_eq!(found.len(), 2);
        assert_eq!((&code[found[0].range.clone()], &*found[0].texts[0]), (r#"t!("Log \"in\"")"#, "Log \"in\""));
        assert_eq!(found[1].values, [value("a", "a"), value("b", "x.y(1, 2)")]);
        let found = calls("a.rs", r#"t!("{n} code", "{n} codes", n = self.left,)"#).expect("calls");
        assert_eq!(found[0].texts, ["{n} code", "{n} codes"]);
        let others = "assert!(a); format!(\"b\"); macro_rules! t { () => { t!(@a) } }";
        assert_eq!(calls("a.rs", others), Ok(Vec::new()));
    }

    #[test]
    fn texts_are_found_in_pages() {
        let page =
            "<p title=\"{{ t!(\"a\") }}\">{{- after!(\"b {c}\") -}}</p>{{ d }}{#- {{ t!(\"e {f}\", f = self.f) }} #}";
        let found = calls("a.html", page).expect("calls");
        let parts: Vec<_> = found.iter().map(|call| (&page[call.range.clone()], call.part, &*call.texts[0])).collect();
        let expected = [
            ("{{ t!(\"a\") }}", Part::Whole, "a"),
            ("{{- after!(\"b {c}\") -}}", Part::After, "b {c}"),
            ("{{ t!(\"e {f}\", f = self.f) }}", Part::Whole, "e {f}"),
        ];
        assert_eq!(parts, expected);
        assert_eq!(found[2].values, [value("f", "self.f")]);
    }

    #[test]
    fn what_can_not_be_read_is_an_error() {
        for code in ["t!(text)", "t!(\"a\", \"b\", \"c\")", "t!()", "t!(\"a\", b.c)", "t!(\"a\", b = t!(\"c\"))", "t!("]
        {
            assert!(calls("a.rs", code).is_err(), "{code}");
        }
        assert!(calls("a.html", "{{ t!(text) }}").is_err());
        assert_eq!(calls("a.css", "t!(text)"), Ok(Vec::new()));
    }
}
