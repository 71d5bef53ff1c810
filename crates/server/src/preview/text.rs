//! A request's text and parameters as JSON has them. What is marked, `approval::shown` says.

use approval::{Statement, shown};
use schemars::JsonSchema;
use serde::Serialize;

/// A statement as an approver must see it: whole.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TextShown {
    /// The text as the client sent it. The runs' texts, put together, are the text.
    pub text: Vec<Run>,
    /// What EXECUTE or FETCH in it stands for.
    pub runs: Option<Vec<Run>>,
    /// The values bound to `$1`, `$2`, ...
    pub parameters: Vec<ParameterShown>,
    /// A line for each kind of marked character, with how often it is there.
    pub legend: Vec<String>,
}

/// A stretch of a text, all of it of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Run {
    /// The text itself.
    pub text: String,
    /// `plain`, `comment`, `string`; or, marked, `bidi`, `invisible`, `control`, `space`, `look_alike`, `combining`, `right_to_left`,
    /// `unassigned`.
    pub kind: String,
    /// Of a marked character: `U+202E`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What it is, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it looks like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// How often it stands there, if more than once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<usize>,
    /// `comment` or `string`, of a marked run in one.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
}

/// A parameter.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ParameterShown {
    /// From 1.
    pub number: usize,
    /// Its type's name, or what is known of it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its value; `None` is NULL.
    pub value: Option<Vec<Run>>,
    /// Whether the value is bytes, in hexadecimal.
    pub binary: bool,
}

impl From<shown::Run> for Run {
    fn from(run: shown::Run) -> Self {
        let shown::Run { text, kind, code, name, like, times, inside } = run;
        let inside = inside.map(|inside| inside.as_str().to_owned());
        Self { text, kind: kind.as_str().to_owned(), code, name, like, times, inside }
    }
}

pub(super) fn runs(runs: Vec<shown::Run>) -> Vec<Run> {
    runs.into_iter().map(Run::from).collect()
}

/// Shows a statement.
pub(crate) fn text_shown(statement: &Statement) -> TextShown {
    let text = shown::statement(&statement.text);
    let behind = statement.runs.as_deref().map(shown::statement);
    let mut all = text.clone();
    all.extend(behind.iter().flatten().cloned());
    let parameters = statement.parameters.iter().enumerate().map(|(index, parameter)| {
        let value = shown::parameter(parameter);
        all.extend(value.iter().flatten().cloned());
        ParameterShown {
            number: index + 1,
            type_name: parameter.type_shown(),
            value: value.map(runs),
            binary: matches!(parameter.value, approval::Value::Binary(_)),
        }
    });
    let parameters = parameters.collect();
    TextShown { text: runs(text), runs: behind.map(runs), parameters, legend: shown::legend(&all) }
}
