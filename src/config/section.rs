//! `section!`: a table of the configuration, row by row. It makes of the rows the section's struct, and the one way
//! through them that the check, the defaults and the example take.

/// `name: Type = key,` is a key, `name: Type,` a table inside this one; tables stand last, as in TOML. The comment above
/// a row is its documentation and its text in the example. A key's expression may use the values of the rows above it.
macro_rules! section {
    ($(#[doc = $about:literal])* $vis:vis struct $section:ident {
        $($(#[doc = $doc:literal])* $name:ident: $type:ty $(= $key:expr)?,)*
    }) => {
        $(#[doc = $about])*
        #[allow(clippy::doc_markdown, reason = "the texts also stand in a file that is no markdown")]
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $section {
            $($(#[doc = $doc])* $vis $name: $type,)*
        }

        impl $crate::config::table::Part for $section {
            fn walk(rows: &mut impl $crate::config::table::Rows) -> Self {
                $(let $name: $type = section!(@row rows $name [$($doc),*] $($key)?);)*
                $section { $($name),* }
            }
        }
    };
    (@row $rows:ident $name:ident [$($doc:literal),*] $key:expr) => {
        $rows.key(stringify!($name), &[$($doc),*], $key)
    };
    (@row $rows:ident $name:ident [$($doc:literal),*]) => {
        $rows.part(stringify!($name), &[$($doc),*])
    };
}

pub(super) use section;
