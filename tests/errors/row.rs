//! Makes the rows of the table from errors.

/// One variant of an error.
pub(crate) struct Row {
    /// Its name, `Error::Variant`, or `Error` if it has no variants.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) text: String,
    /// What it is to say.
    pub(crate) expected: &'static str,
    /// What `is_definite` says; `None` for a cause, which has no outcome of its own.
    pub(crate) is_definite: Option<bool>,
    /// What its `source` says.
    pub(crate) source: Option<String>,
}

/// Rows of errors that are the outcome of an operation.
macro_rules! outcomes {
    ($($name:literal: $error:expr => $expected:literal;)*) => {
        vec![$({
            let error = $error;
            Row {
                name: $name,
                text: error.to_string(),
                expected: $expected,
                is_definite: Some(error.is_definite()),
                source: std::error::Error::source(&error).map(ToString::to_string),
            }
        }),*]
    };
}

/// Rows of causes: what stands behind an outcome, what is wrong with a value, or what went wrong inside.
macro_rules! causes {
    ($($name:literal: $cause:expr => $expected:literal;)*) => {
        vec![$({
            let cause = $cause;
            Row {
                name: $name,
                text: cause.to_string(),
                expected: $expected,
                is_definite: None,
                source: std::error::Error::source(&cause).map(ToString::to_string),
            }
        }),*]
    };
}
