//! Forms: the shapes that a vendor gives its bodies.

use std::fmt;

/// The shape of a body: a label, found by structure, never by a vendor's version number.
#[derive(Debug)]
pub struct Form {
    /// The name in the envelope and on the command line.
    pub name: &'static str,
    /// The member of the root that holds the event's type.
    pub type_member: &'static str,
    /// Members of the root that stand beside it.
    pub with: &'static [&'static str],
    /// Members of the root that do not.
    pub without: &'static [&'static str],
    /// What `data.object` is.
    pub data_object: DataObject,
    /// JSON Pointer to the thing that the event is about: `/data/object`, `/data`, or empty for the root.
    pub entity_path: &'static str,
    /// The member of the root that holds the event's time.
    pub time: &'static str,
}

impl Form {
    /// What most forms are: the type in `type`, the thing in `data`, the time in `created`.
    pub(super) const PLAIN: Form = Form {
        name: "plain",
        type_member: "type",
        with: &[],
        without: &[],
        data_object: DataObject::Unknown,
        entity_path: "/data",
        time: "created",
    };

    /// The form of a name. Evaluated when the program is compiled, and a name that is not there does not compile.
    pub(super) const fn named(forms: &'static [Form], name: &str) -> &'static Form {
        let mut index = 0;
        while index < forms.len() {
            if equal(forms[index].name.as_bytes(), name.as_bytes()) {
                return &forms[index];
            }
            index += 1;
        }
        panic!("no form of this name")
    }
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

/// Each form exists once, so that equal means the same place.
impl PartialEq for Form {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Form {}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What `data.object` is in a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataObject {
    /// The thing that the event is about: an object, or the body has another form.
    Thing,
    /// A word for the type of that thing.
    Word,
    /// No document names it.
    Unknown,
}
