/// A label that has a few values, all of them known.
pub(crate) trait LabelValue: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The label's value.
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
