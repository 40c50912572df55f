//! The table of keys agrees with the parser and with the documents.

use super::super::Config;
use super::*;

/// A file with `line` in one table, and no more of that table.
fn with(table: Table, line: &str) -> Option<String> {
    Some(match table {
        Table::File => return None,
        Table::Server => format!("[server]\n{line}\n"),
        Table::Store => format!("[server]\nstore = {{ {line} }}\n"),
        Table::Journal => format!("[journal]\n{line}\n"),
        Table::Hook => format!("[[hook]]\n{line}\n"),
        Table::Interface => format!("[[interface]]\n{line}\n"),
        Table::Subnet => format!("[[subnet]]\n{line}\n"),
        Table::Pool => format!("[[subnet]]\nprefix = \"192.0.2.0/24\"\npools = [{{ {line} }}]\n"),
        Table::Reservation => {
            format!("[[subnet]]\nprefix = \"192.0.2.0/24\"\n[[subnet.reservation]]\n{line}\n")
        }
        Table::Class => format!("[[class]]\n{line}\n"),
        Table::Match => format!("[[class]]\nname = \"a\"\nmatch = {{ {line} }}\n"),
        Table::Route => {
            format!("[[subnet]]\nprefix = \"192.0.2.0/24\"\noptions = {{ static-routes = [{{ {line} }}] }}\n")
        }
    })
}

fn complaints(text: &str) -> Vec<String> {
    let errors = Config::parse(text, "f").expect_err("it is not complete");
    errors.into_iter().map(|error| error.message).collect()
}

#[test]
fn every_key_of_the_table_is_one_that_the_parser_asks_for() {
    for table in TABLES {
        for key in table.keys() {
            let Some(text) = with(table, &format!("{} = {{ nonsense = 1 }}", key.name)) else { continue };
            let unknown = format!("unknown key `{}`", key.name);
            let found = complaints(&text);
            assert!(found.iter().all(|message| !message.contains(&unknown)), "{text}: {found:?}");
        }
    }
}

#[test]
fn a_key_in_the_wrong_place_is_told_where_it_belongs() {
    let found = complaints("[server]\nauthoritative = true\n");
    assert!(found.iter().any(|message| message.contains("it belongs in [[subnet]]")), "{found:?}");
}

#[test]
fn page_and_schema_are_of_this_table() {
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |name: &str| std::fs::read_to_string(docs.join(name)).expect("a document");
    let page = read("configuration.md");
    let advice = "run `cargo run -p dhcp-user -- reference dhcp-user/docs`";
    assert!(with_keys(&page).expect("the page has its marks") == page, "{advice}");
    assert!(read("xdhcpd.schema.json") == schema(), "{advice}");
}
