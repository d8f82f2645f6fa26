//! Permissions: what a bearer token allows.

use std::{fmt, str::FromStr};

/// A permission that a bearer token can have. The host defines a type for each, and registers them with
/// [`Config::permissions`](crate::Config::permissions).
///
/// A handler names the type in its arguments, so a misspelled permission doesn't compile.
///
/// ```
/// # use sigra::doctest::User;
/// use sigra::{Bearer, Permission};
///
/// struct ReadProjects;
///
/// impl Permission for ReadProjects {
///     const NAME: &'static str = "projects:read";
///     const DESCRIPTION: &'static str = "See your projects";
/// }
///
/// async fn list_projects(bearer: Bearer<User, ReadProjects>) -> String {
///     format!("The projects of user {}", bearer.user().id)
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a permission",
    label = "implement `sigra::Permission` for `{Self}`"
)]
pub trait Permission: Send + Sync + 'static {
    /// The name, as tokens have it and as OAuth sends it in `scope`: visible ASCII characters except `"` and `\`
    /// (RFC 6749 section 3.3), such as `projects:read`.
    const NAME: &'static str;

    /// What it allows, in a few words to the user: `See your projects`.
    const DESCRIPTION: &'static str;
}

/// The permissions that a [`Bearer`](crate::Bearer) must have: `()` for none, a [`Permission`], or a tuple of up to
/// four of them, of which all are required.
pub trait Required: sealed::Sealed + Send + Sync + 'static {
    /// The names of the permissions.
    #[doc(hidden)]
    fn names() -> Vec<&'static str>;

    /// Returns whether a token has all of them.
    #[doc(hidden)]
    fn are_in(permissions: &Permissions) -> bool;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for () {}

impl Required for () {
    fn names() -> Vec<&'static str> {
        Vec::new()
    }

    fn are_in(_: &Permissions) -> bool {
        true
    }
}

impl<P: Permission> sealed::Sealed for P {}

impl<P: Permission> Required for P {
    fn names() -> Vec<&'static str> {
        vec![P::NAME]
    }

    fn are_in(permissions: &Permissions) -> bool {
        permissions.contains(P::NAME)
    }
}

macro_rules! require_all {
    ($($name:ident),+) => {
        impl<$($name: Permission),+> sealed::Sealed for ($($name,)+) {}

        impl<$($name: Permission),+> Required for ($($name,)+) {
            fn names() -> Vec<&'static str> {
                vec![$($name::NAME),+]
            }

            fn are_in(permissions: &Permissions) -> bool {
                $(permissions.contains($name::NAME))&&+
            }
        }
    };
}

require_all!(A, B);
require_all!(A, B, C);
require_all!(A, B, C, D);

/// A set of permissions, by their names. Displays as OAuth's `scope` does: in alphabetical order, with spaces between.
///
/// ```
/// use sigra::bearer::Permissions;
///
/// let permissions: Permissions = "projects:write projects:read".parse()?;
/// assert!(permissions.contains("projects:read"));
/// assert_eq!(permissions.to_string(), "projects:read projects:write");
/// assert!("projects:read".parse::<Permissions>()?.is_subset_of(&permissions));
/// assert!("\"".parse::<Permissions>().is_err());
/// # Ok::<(), sigra::bearer::PermissionError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Permissions(Box<str>);

impl Permissions {
    /// Adds a permission by its type, so that a misspelled one doesn't compile. A type whose
    /// [name](Permission::NAME) is invalid doesn't either.
    ///
    /// ```
    /// # use sigra::{Permission, bearer::Permissions};
    /// # struct ReadProjects;
    /// # impl Permission for ReadProjects {
    /// #     const NAME: &'static str = "projects:read"; const DESCRIPTION: &'static str = "See your projects";
    /// # }
    /// # struct WriteProjects;
    /// # impl Permission for WriteProjects {
    /// #     const NAME: &'static str = "projects:write"; const DESCRIPTION: &'static str = "Change your projects";
    /// # }
    /// let permissions = Permissions::default().with::<ReadProjects>().with::<WriteProjects>();
    /// assert_eq!(permissions.to_string(), "projects:read projects:write");
    /// ```
    #[must_use]
    pub fn with<P: Permission>(self) -> Self {
        const { assert!(is_name(P::NAME), "`Permission::NAME` must be visible ASCII characters except `\"` and `\\`") };
        Self::joined(self.iter().chain([P::NAME]).collect())
    }

    /// Creates a set of names that were chosen in a form, for example. For types, use [`with`](Self::with).
    ///
    /// # Errors
    ///
    /// [`PermissionError`] if one is empty or has a character that RFC 6749 section 3.3 doesn't allow.
    pub fn of<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Result<Self, PermissionError> {
        let names: Vec<T> = names.into_iter().collect();
        match names.iter().map(AsRef::as_ref).find(|name| !is_name(name)) {
            Some(bad) => Err(PermissionError(bad.to_owned())),
            None => Ok(Self::joined(names.iter().map(AsRef::as_ref).collect())),
        }
    }

    /// Returns whether it has the permission with this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|own| own == name)
    }

    /// Returns whether `other` has all of these permissions too.
    #[must_use]
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|name| other.contains(name))
    }

    /// Returns whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }

    fn joined(mut names: Vec<&str>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self(names.join(" ").into())
    }
}

impl FromStr for Permissions {
    type Err = PermissionError;

    fn from_str(text: &str) -> Result<Self, PermissionError> {
        Self::of(text.split(' ').filter(|name| !name.is_empty()))
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A name that can't be that of a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` can't name a permission: use visible ASCII characters except `\"` and `\\`, such as `projects:read`", .0.escape_debug())]
pub struct PermissionError(String);

/// All permissions of the application, in the order in which they are shown.
///
/// ```
/// # use sigra::{Permission, bearer::PermissionList};
/// # struct ReadProjects;
/// # impl Permission for ReadProjects {
/// #     const NAME: &'static str = "projects:read"; const DESCRIPTION: &'static str = "See your projects";
/// # }
/// let all = PermissionList::new().with::<ReadProjects>();
/// assert_eq!(all.iter().map(|permission| permission.name).collect::<Vec<_>>(), ["projects:read"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionList(Vec<RegisteredPermission>);

/// A permission that the host registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisteredPermission {
    /// The [name](Permission::NAME).
    pub name: &'static str,
    /// The [description](Permission::DESCRIPTION).
    pub description: &'static str,
}

/// A list of permissions that can't be registered.
#[derive(Debug)]
pub(crate) enum BadList {
    Name(&'static str),
    Twice(&'static str),
}

impl PermissionList {
    /// Creates an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a permission.
    #[must_use]
    pub fn with<P: Permission>(mut self) -> Self {
        self.0.push(RegisteredPermission { name: P::NAME, description: P::DESCRIPTION });
        self
    }

    /// Returns the permissions.
    pub fn iter(&self) -> impl Iterator<Item = RegisteredPermission> {
        self.0.iter().copied()
    }

    /// Returns whether a permission with this name is registered.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|permission| permission.name == name)
    }

    pub(crate) fn check(&self) -> Result<(), BadList> {
        for (at, RegisteredPermission { name, .. }) in self.0.iter().enumerate() {
            if !is_name(name) {
                return Err(BadList::Name(name));
            }
            if self.0[..at].iter().any(|earlier| earlier.name == *name) {
                return Err(BadList::Twice(name));
            }
        }
        Ok(())
    }

    /// Returns those of the names in a column that are registered. What isn't registered any more allows nothing.
    pub(crate) fn known_in(&self, text: &str) -> Permissions {
        Permissions::joined(text.split(' ').filter(|name| self.contains(name)).collect())
    }
}

/// Returns whether a name is a `scope-token` (RFC 6749 section 3.3).
const fn is_name(name: &str) -> bool {
    let mut rest = name.as_bytes();
    while let [0x21 | 0x23..=0x5b | 0x5d..=0x7e, after @ ..] = rest {
        rest = after;
    }
    rest.is_empty() && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Read;
    struct Write;

    impl Permission for Read {
        const NAME: &'static str = "projects:read";
        const DESCRIPTION: &'static str = "See your projects";
    }

    impl Permission for Write {
        const NAME: &'static str = "projects:write";
        const DESCRIPTION: &'static str = "Change your projects";
    }

    #[test]
    fn only_scope_tokens_are_names() {
        for good in ["a", "projects:read", "!#[]~", "*"] {
            assert!(good.parse::<Permissions>().is_ok(), "{good}");
            assert!(Permissions::of([good]).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "\"", "\\", "é", "\n", "\u{7f}"] {
            assert!(Permissions::of([bad]).is_err(), "{bad:?}");
        }
        assert!("a\nb".parse::<Permissions>().is_err());
        assert!("".parse::<Permissions>().is_ok_and(|none| none.is_empty()));
    }

    #[test]
    fn a_name_within_another_name_is_not_contained() {
        let permissions = Permissions::of(["projects:read"]).expect("names");
        for part in ["projects", "read", "projects:rea", "", " "] {
            assert!(!permissions.contains(part), "{part:?}");
        }
    }

    #[test]
    fn a_tuple_requires_each_of_its_permissions() {
        let read = Permissions::of([Read::NAME]).expect("names");
        let both = Permissions::of([Write::NAME, Read::NAME, Read::NAME]).expect("names");
        assert!(<()>::are_in(&Permissions::default()) && Read::are_in(&read) && !Write::are_in(&read));
        assert!(!<(Read, Write)>::are_in(&read) && <(Read, Write)>::are_in(&both));
        assert_eq!(both.to_string(), <(Read, Write)>::names().join(" "));
        assert!(read.is_subset_of(&both) && !both.is_subset_of(&read));
    }

    #[test]
    fn permissions_are_added_by_their_types() {
        let both = Permissions::default().with::<Write>().with::<Read>().with::<Read>();
        assert_eq!(both, Permissions::of([Read::NAME, Write::NAME]).expect("names"));
        assert_eq!(Permissions::default().with::<Read>().to_string(), "projects:read");
    }

    #[test]
    fn what_is_not_registered_counts_for_nothing() {
        let list = PermissionList::new().with::<Read>();
        assert_eq!(list.known_in("projects:write  projects:read \u{1F980} \"").to_string(), "projects:read");
        assert!(matches!(list.clone().with::<Read>().check(), Err(BadList::Twice("projects:read"))));
    }
}
