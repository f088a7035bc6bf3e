/// A value of a label that has only a few values.
pub(crate) trait LabelValue: Copy + PartialEq + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// The value as metrics spell it.
    fn as_str(self) -> &'static str;
}

macro_rules! label_values {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$of])* $variant,)+ }

        impl LabelValue for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

pub(super) use label_values;
