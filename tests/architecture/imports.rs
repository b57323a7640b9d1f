//! Which modules import which, as the compiler reads it; unit tests apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, UseTree};

/// The names that lead to a module from the root of the crate.
type Name = Vec<String>;
/// Modules of one parent, each with those of its siblings that it imports.
type Siblings = BTreeMap<String, BTreeSet<String>>;

#[derive(Default)]
struct Paths(Vec<Name>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !module.attrs.iter().any(is_test) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.expand(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
}

impl Paths {
    fn expand(&mut self, tree: &UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.expand(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.0.push(with(&name.ident)),
            UseTree::Rename(rename) => self.0.push(with(&rename.ident)),
            UseTree::Glob(_) => self.0.push(before.to_vec()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.expand(tree, before)),
        }
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
}

/// All modules below `folder`, each with the paths in its code.
fn modules(folder: &Path, parent: &[String], found: &mut BTreeMap<Name, Vec<Name>>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("plain text").to_owned();
        let name = [parent, &[stem]].concat();
        if path.is_dir() {
            modules(&path, &name, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !name.contains(&"tests".to_owned())
        {
            let code = syn::parse_file(&fs::read_to_string(&path).expect("readable")).expect("Rust");
            let mut paths = Paths::default();
            paths.visit_file(&code);
            found.insert(name, paths.0);
        }
    }
}

/// The module that `path` leads to from `here`; `None` if that is outside the crate.
fn resolve(here: &Name, path: &Name, known: &BTreeMap<Name, Vec<Name>>) -> Option<Name> {
    let is_up = |name: &&String| matches!(name.as_str(), "crate" | "super" | "self");
    let ups = path.iter().take_while(is_up).filter(|name| *name == "super").count();
    let start = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "super" | "self" => here[..here.len().checked_sub(ups)?].to_vec(),
        first if known.contains_key(&[here.as_slice(), &[first.to_owned()]].concat()) => here.clone(),
        _ => return None,
    };
    let mut module = start;
    for name in path.iter().skip_while(is_up) {
        let below = [module.as_slice(), std::slice::from_ref(name)].concat();
        if !known.contains_key(&below) {
            break;
        }
        module = below;
    }
    Some(module)
}

/// By parent: what a module imports, its siblings import too where it is below them.
fn siblings(known: &BTreeMap<Name, Vec<Name>>) -> BTreeMap<Name, Siblings> {
    let mut all = BTreeMap::<Name, Siblings>::new();
    for (here, paths) in known {
        for there in paths.iter().filter_map(|path| resolve(here, path, known)) {
            let shared = here.iter().zip(&there).take_while(|(one, other)| one == other).count();
            if let (Some(from), Some(to)) = (here.get(shared), there.get(shared)) {
                all.entry(here[..shared].to_vec())
                    .or_default()
                    .entry(from.clone())
                    .or_default()
                    .insert(to.clone());
            }
        }
    }
    all
}

/// What is left when every module has gone that imports nothing of what is left.
fn circle(mut siblings: Siblings) -> Siblings {
    loop {
        let there: BTreeSet<_> = siblings.keys().cloned().collect();
        let before = siblings.len();
        siblings.retain(|_, imports| !imports.is_disjoint(&there));
        if siblings.len() == before {
            return siblings;
        }
    }
}

#[test]
fn no_two_modules_import_each_other_however_long_the_way() {
    for source in super::SOURCES {
        let mut known = BTreeMap::new();
        modules(&Path::new(super::CHECKOUT).join(source), &[], &mut known);
        let all = siblings(&known);
        assert!(
            all.values().map(BTreeMap::len).sum::<usize>() > 1,
            "the imports of {source} are not read: this test would prove nothing"
        );
        for (parent, siblings) in all {
            let circle = circle(siblings);
            assert!(circle.is_empty(), "{source}, below {}: {circle:#?}", parent.join("::"));
        }
    }
}

#[test]
fn a_circle_of_three_is_found_and_a_line_is_none() {
    let graph = |imports: &[(&str, &str)]| {
        let mut graph = Siblings::new();
        for (from, to) in imports {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        circle(graph).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(graph(&[("a", "b"), ("b", "c"), ("a", "c")]), Vec::<String>::new());
    assert_eq!(graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]), ["a", "b", "c"]);
}
