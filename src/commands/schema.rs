//! `hookbus schema`: what subscribers may rely on, as AsyncAPI and JSON Schema.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;

use crate::{
    cli::Failure,
    schema::{Document, Scope},
};

/// The words after `schema`.
#[derive(Debug, Args)]
pub struct Options {
    /// `asyncapi`, `envelope`, or a vendor and an event type such as `audit1/file.processed`
    #[arg(default_value = "asyncapi", value_name = "DOCUMENT")]
    name: String,

    /// List the documents, and end
    #[arg(long)]
    list: bool,

    /// Write all documents into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "list")]
    directory: Option<PathBuf>,

    /// Describe the default configuration, even where there is a file
    #[arg(long)]
    pub defaults: bool,
}

/// Prints a document, or writes all.
///
/// # Errors
/// A name that is no document's; a folder that cannot be written.
pub fn run(options: &Options, scope: &Scope) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if options.list {
        for document in Document::all() {
            writeln!(out, "{document}")?;
        }
    } else if let Some(directory) = &options.directory {
        for document in Document::all() {
            let path = directory.join(document.path());
            let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", path.display()));
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
            fs::write(&path, document.text(scope)).map_err(failed)?;
        }
        writeln!(out, "{}: {} documents", directory.display(), Document::all().count())?;
    } else {
        let document = Document::named(&options.name).ok_or_else(|| {
            Failure::Usage(format!("no document `{}`: see hookbus schema --list", options.name.escape_debug()))
        })?;
        out.write_all(document.text(scope).as_bytes())?;
    }
    Ok(())
}
