//! What one row of the table becomes.
//!
//! Every fact about a directive stands in its row under `rows/`, and only there. From the rows
//! the macro below makes the fields of [`Settings`](super::Settings) and their defaults, the
//! [`DIRECTIVES`](super::DIRECTIVES) that CONFIG GET, SET, REWRITE and the file reader walk, and
//! the typed options of [`DirectiveOptions`](super::DirectiveOptions).
//!
//! A row:
//!
//! ```text
//! /// What it does, for people. Shown by --help.
//! field_with_unit: Type = default, "name" | "alias", Kind, [mutable flag flag];
//! ```

use std::fmt;

use super::Settings;
use super::grammar;
use super::kinds::{Line, Reason};

/// One directive: its facts, and how its field is read and written.
pub struct Directive {
    /// The name that CONFIG GET and REWRITE use.
    pub name: &'static str,
    /// An older name, which works as well.
    pub alias: Option<&'static str>,
    /// What it does, in lines.
    pub doc: &'static [&'static str],
    /// Everything that is yes or no about it.
    pub flags: Flags,
    /// The value as CONFIG GET shows it.
    pub text: fn(&Settings) -> String,
    /// What values look like, for the help text.
    pub syntax: fn() -> String,
    /// Reads words into the field.
    pub(super) assign: fn(&mut Settings, &[&str], bool) -> Result<(), Reason>,
    /// Lines for CONFIG REWRITE: of the first settings, with the second as defaults.
    pub(super) lines: fn(&Settings, &Settings) -> Vec<Line>,
}

impl fmt::Debug for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directive")
            .field("name", &self.name)
            .field("alias", &self.alias)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// Everything that is yes or no about a directive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// CONFIG SET may change it.
    pub mutable: bool,
    /// Takes several words.
    pub multi: bool,
    /// Its value is a secret: never logged.
    pub sensitive: bool,
    /// CONFIG GET shows it when asked by its full name only.
    pub hidden: bool,
    /// CONFIG SET may change it only where `enable-protected-configs` allows.
    pub protected: bool,
    /// CONFIG SET may not change it while a data set is being loaded.
    pub deny_loading: bool,
    /// Known in files and on the command line; CONFIG GET and SET do not know it.
    pub file_only: bool,
    /// Accepted and kept, but this server does nothing with it.
    pub no_effect: bool,
    /// Redis does not have it.
    pub ours: bool,
}

/// The words of a row's brackets, each a step on the way to its [`Flags`].
impl Flags {
    pub(super) const fn none() -> Self {
        Self {
            mutable: false,
            multi: false,
            sensitive: false,
            hidden: false,
            protected: false,
            deny_loading: false,
            file_only: false,
            no_effect: false,
            ours: false,
        }
    }
    pub(super) const fn mutable(self) -> Self {
        Self { mutable: true, ..self }
    }
    pub(super) const fn immutable(self) -> Self {
        Self { mutable: false, ..self }
    }
    pub(super) const fn multi(self) -> Self {
        Self { multi: true, ..self }
    }
    pub(super) const fn sensitive(self) -> Self {
        Self { sensitive: true, ..self }
    }
    pub(super) const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }
    pub(super) const fn protected(self) -> Self {
        Self { protected: true, ..self }
    }
    pub(super) const fn deny_loading(self) -> Self {
        Self { deny_loading: true, ..self }
    }
    pub(super) const fn file_only(self) -> Self {
        Self { file_only: true, ..self }
    }
    pub(super) const fn no_effect(self) -> Self {
        Self { no_effect: true, ..self }
    }
    pub(super) const fn ours(self) -> Self {
        Self { ours: true, ..self }
    }
}

impl Directive {
    /// Sets the field from the words of a line in a file.
    ///
    /// A directive of several words may also have them in one, as in `--save "60 1"`.
    pub(super) fn assign_words(
        &self,
        settings: &mut Settings,
        words: &[Vec<u8>],
        repeated: bool,
    ) -> Result<(), Reason> {
        if let ([word], true) = (words, self.flags.multi)
            && !word.is_empty()
            && !self.flags.file_only
        {
            let words = grammar::split_words(word)
                .map_err(|_| Reason::Borrowed("Unbalanced quotes in configuration line"))?;
            return self.assign_each(settings, &words, repeated);
        }
        self.assign_each(settings, words, repeated)
    }

    /// Sets the field from the one value of CONFIG SET.
    pub(super) fn assign_value(&self, settings: &mut Settings, value: &[u8]) -> Result<(), Reason> {
        if self.flags.multi {
            // As Redis splits: nothing is no word, two blanks have an empty word between them.
            let split = value.split(|byte| *byte == b' ');
            let words: Vec<&[u8]> = if value.is_empty() { vec![] } else { split.collect() };
            self.assign_each(settings, &words, false)
        } else {
            self.assign_each(settings, &[value], false)
        }
    }

    fn assign_each(
        &self,
        settings: &mut Settings,
        words: &[impl AsRef<[u8]>],
        repeated: bool,
    ) -> Result<(), Reason> {
        let words: Result<Vec<&str>, _> =
            words.iter().map(|word| std::str::from_utf8(word.as_ref())).collect();
        let words = words.map_err(|_| Reason::Borrowed("argument must be valid UTF-8"))?;
        (self.assign)(settings, &words, repeated)
    }
}

/// Makes everything from the rows. They come through the macros of `rows/`, one after another.
macro_rules! directives {
    (; $(
        $(#[doc = $doc:literal])+
        $field:ident: $ty:ty = $default:expr, $name:literal $(| $alias:literal)?, $kind:expr,
        [$($flag:ident)+];
    )+) => {
        /// The configuration of a node: one typed field for each directive.
        ///
        /// The defaults are Redis 7.2's, but for those that `config/mod.rs` lists.
        #[derive(Clone, PartialEq)]
        pub struct Settings {
            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!("Directive `", $name, "`.")]
                pub $field: $ty,
            )+
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        /// All directives, by topic.
        pub static DIRECTIVES: &[Directive] = &[$(
            Directive {
                name: $name,
                alias: directives!(@alias $($alias)?),
                doc: &[$($doc),+],
                flags: Flags::none()$(.$flag())+,
                text: |settings| Kind::<$ty>::text(&$kind, &settings.$field),
                syntax: || Kind::<$ty>::syntax(&$kind),
                assign: |settings, words, repeated| {
                    settings.$field =
                        Kind::<$ty>::parse(&$kind, words, &settings.$field, repeated)?;
                    Ok(())
                },
                lines: |settings, defaults| {
                    Kind::<$ty>::lines(&$kind, $name, &settings.$field, &defaults.$field)
                },
            },
        )+];

        /// Every directive as an option of a builder.
        ///
        /// A builder implements [`settings_mut`](Self::settings_mut) and has them all. The typed
        /// options store what they are given; [`Settings::validate`] looks at the whole when the
        /// node starts.
        pub trait DirectiveOptions: Sized {
            /// The settings under construction.
            fn settings_mut(&mut self) -> &mut Settings;

            /// Sets a directive by its name, with the words a configuration file would have.
            ///
            /// # Errors
            /// The name is unknown, or the value is refused.
            fn directive(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
                self.settings_mut().set_directive(name, value)?;
                Ok(self)
            }

            $(
                $(#[doc = $doc])+
                #[doc = ""]
                #[doc = concat!("Directive `", $name, "`.")]
                #[must_use]
                fn $field(mut self, value: $ty) -> Self {
                    self.settings_mut().$field = value;
                    self
                }
            )+
        }
    };
    (@alias) => { None };
    (@alias $alias:literal) => { Some($alias) };
}
