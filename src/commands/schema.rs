//! `hookbus schema`: what subscribers may rely on, as AsyncAPI and JSON Schema; and what the events on the bus look like beside
//! that.

mod observed;

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::Args;

use crate::{
    commands::failure::Failure,
    config::Config,
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

    /// Print the members at the root of the events on the bus beside the documented ones; of all types, or of DOCUMENT's
    #[arg(long, conflicts_with_all = ["list", "directory", "defaults"])]
    pub observed: bool,

    /// Describe the default configuration, even where there is a file
    #[arg(long)]
    pub defaults: bool,
}

/// Prints what lies on the bus beside what is documented.
///
/// # Errors
/// A name that is no event's; a bus that cannot be read.
pub fn observe(options: &Options, config: &Config) -> Result<(), Failure> {
    observed::run(named(options)?, config)
}

fn named(options: &Options) -> Result<Document, Failure> {
    Document::named(&options.name).ok_or_else(|| {
        Failure::Usage(format!("no document `{}`: see hookbus schema --list", options.name.escape_debug()))
    })
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
            let written = path.parent().map_or(Ok(()), fs::create_dir_all);
            written.and_then(|()| fs::write(&path, document.text(scope))).map_err(Failure::at(path.display()))?;
        }
        writeln!(out, "{}: {} documents", directory.display(), Document::all().count())?;
    } else {
        out.write_all(named(options)?.text(scope).as_bytes())?;
    }
    Ok(())
}
