//! What the tokens of users can allow. These are examples: replace them with those of your application.
//!
//! A handler names the permission that a token must have in its arguments: `Bearer<User, ReadProjects>`.

use sigra::{
    Permission,
    bearer::{PermissionList, Permissions, RegisteredPermission},
};

pub struct ReadProjects;

impl Permission for ReadProjects {
    const NAME: &'static str = "projects:read";
    const DESCRIPTION: &'static str = "See your projects";
}

pub struct WriteProjects;

impl Permission for WriteProjects {
    const NAME: &'static str = "projects:write";
    const DESCRIPTION: &'static str = "Create, change and delete your projects";
}

/// All permissions, in the order in which they are shown.
pub fn all() -> PermissionList {
    PermissionList::new().with::<ReadProjects>().with::<WriteProjects>()
}

/// Returns what permissions allow, to their user.
pub fn describe_all(granted: &Permissions) -> Vec<&'static str> {
    all()
        .iter()
        .filter(|permission| granted.contains(permission.name))
        .map(|permission| describe(&permission))
        .collect()
}

/// Returns what a permission allows, to its user.
pub fn describe(permission: &RegisteredPermission) -> &'static str {
    // <languages>
    match permission.name {
        ReadProjects::NAME => t!("See your projects"),
        WriteProjects::NAME => t!("Create, change and delete your projects"),
        // Add your own, so that they can be translated.
        _ => permission.description,
    }
    // </languages>
    // <!languages>
    // permission.description
    // </!languages>
}
