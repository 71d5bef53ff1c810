//! Trees that no server printed: cut, changed, forged, enormous. None may panic, hang, or be read as something.

use proptest::prelude::*;
use querytree::ServerVersion;

use crate::corpus::Corpus;

/// A tree as good as any, as version 17 prints it, with its target list and range table left open.
fn select(targets: &str, entries: &str) -> String {
    let fields = "{QUERY :commandType 1 :querySource 0 :canSetTag true :utilityStmt <> :resultRelation 0 :hasAggs false \
        :hasWindowFuncs false :hasTargetSRFs false :hasSubLinks false :hasDistinctOn false :hasRecursive false \
        :hasModifyingCTE false :hasForUpdate false :hasRowSecurity false :isReturn false :cteList <> :rtable ENTRIES \
        :rteperminfos <> :jointree {FROMEXPR :fromlist <> :quals <>} :mergeActionList <> :mergeTargetRelation 0 \
        :mergeJoinCondition <> :targetList TARGETS :override 0 :onConflict <> :returningList <> :groupClause <> \
        :groupDistinct false :groupingSets <> :havingQual <> :windowClause <> :distinctClause <> :sortClause <> \
        :limitOffset <> :limitCount <> :limitOption 0 :rowMarks <> :setOperations <> :constraintDeps <> \
        :withCheckOptions <> :stmt_location 0 :stmt_len 0}";
    fields.replace("ENTRIES", entries).replace("TARGETS", targets)
}

fn target(expression: &str) -> String {
    format!(
        "({{TARGETENTRY :expr {expression} :resno 1 :resname x :ressortgroupref 0 :resorigtbl 0 :resorigcol 0 :resjunk false}})"
    )
}

const ONE: &str = "{CONST :consttype 23 :consttypmod -1 :constcollid 0 :constlen 4 :constbyval true :constisnull false \
    :location 7 :constvalue 4 [ 1 0 0 0 0 0 0 0 ]}";

fn var(varno: i64, varattno: i64, level: i64) -> String {
    format!(
        "{{VAR :varno {varno} :varattno {varattno} :vartype 25 :vartypmod -1 :varcollid 100 :varnullingrels (b) \
         :varlevelsup {level} :varnosyn 1 :varattnosyn 1 :location 7}}"
    )
}

fn read(query: &str) -> Result<querytree::Access, querytree::Unknown> {
    querytree::read(&format!("({query})\n"), ServerVersion::V17)
}

fn refused(query: &str) {
    if let Ok(read) = read(query) {
        panic!("{} was read as {read:?}", query.chars().take(3_000).collect::<String>());
    }
}

#[test]
fn the_forged_tree_is_good_until_it_is_spoilt() {
    assert_eq!(read(&select(&target(ONE), "<>")).unwrap().output.len(), 1);
}

#[test]
fn a_column_of_nothing_is_refused() {
    for (varno, varattno, level) in
        [(1, 1, 0), (0, 1, 0), (-1, 1, 0), (1, 1, 1), (i64::MAX, 1, 0), (1, 40_000, 0), (1, 1, -1)]
    {
        refused(&select(&target(&var(varno, varattno, level)), "<>"));
    }
}

#[test]
fn what_is_not_of_the_version_is_refused() {
    let good = select(&target(ONE), "<>");
    for (from, to) in [
        ("CONST", "CONSTANT"),
        (":consttype", ":constkind"),
        (":constbyval true", ":constbyval 1"),
        (":constcollid 0", ":constcollid x"),
        (":commandType 1", ":commandType 7"),
        (":commandType 1", ":commandType 0"),
        (":querySource 0", ":querySource 5"),
        (" :hasAggs false", ""),
        (" :hasAggs false", " :hasAggs false :hasAggs false"),
        (":stmt_len 0", ":stmt_len 0 :more 1"),
        (":limitOption 0", ":limitOption 3"),
        (":limitCount <>", ":limitCount {ALIAS :aliasname x :colnames <>}"),
        (":constvalue 4 [ 1 0 0 0 0 0 0 0 ]", ":constvalue 4 [ 1 0 0"),
        (":resno 1", ":resno 99999999999999999999"),
        (":resno 1", ":resno 40000"),
    ] {
        assert!(good.contains(from), "{from}");
        refused(&good.replacen(from, to, 1));
    }
    for text in ["", "<", "()(", "(<>)", "({QUERY})", "{QUERY}", "((", "<> <>", "(i 1)", "\\", "(\u{0})"] {
        assert!(querytree::read(text, ServerVersion::V17).is_err(), "{text}");
    }
}

#[test]
fn nodes_that_no_rewritten_tree_has_are_refused_wherever_they_stand() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/node_types.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let labels: Vec<_> = text.lines().filter_map(|line| line.split_once(" refused ")).collect();
    assert!(labels.len() > 300);
    for (_, label) in labels {
        let node = format!("{{{label} :location 7}}");
        refused(&select(&target(&node), "<>"));
        refused(&select("<>", &format!("({node})")));
        refused(&select(&target(ONE), "<>").replace(":limitCount <>", &format!(":limitCount {node}")));
        refused(&node);
    }
}

#[test]
fn deep_nesting_is_read_or_refused_but_never_overflows() {
    let mut expression = ONE.to_owned();
    for _ in 0..2_000 {
        expression = format!("{{COLLATEEXPR :arg {expression} :collOid 100 :location 7}}");
    }
    assert!(read(&select(&target(&expression), "<>")).is_ok());
    refused(&select(&target(&"{COLLATEEXPR :arg ".repeat(100_000)), "<>"));
    refused(&"(".repeat(100_000));
    let utility = select("<>", "<>").replace(":commandType 1", ":commandType 6");
    refused(&utility.replace(":utilityStmt <>", &format!(":utilityStmt {}", "{(".repeat(100_000))));
    // Queries inside queries.
    let mut query = select(&target(ONE), "<>");
    for _ in 0..300 {
        let sublink =
            "{SUBLINK :subLinkType 4 :subLinkId 0 :testexpr <> :operName <> :subselect INNER :location 7}";
        query = select(&target(&sublink.replace("INNER", &query)), "<>");
    }
    assert!(read(&query).unwrap().has_sublinks);
}

#[test]
fn a_tree_too_large_is_refused() {
    let many = ONE.repeat(150_000);
    refused(&select(
        &target(&format!("{{COALESCEEXPR :coalescetype 23 :coalescecollid 0 :args ({many}) :location 7}}")),
        "<>",
    ));
}

#[test]
fn every_cut_is_refused() {
    for corpus in Corpus::all() {
        let tree = corpus.tree("insert_cte").trim_end();
        for (end, _) in tree.char_indices() {
            let (start, _) = tree.split_at(end);
            assert!(querytree::read(start, corpus.version).is_err(), "cut at {end}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    /// Tokens of a real tree swapped, dropped, doubled or exchanged for others.
    #[test]
    fn mutations_never_panic(
        major in 0_usize..5,
        tree in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_u8..6), 1..4),
    ) {
        thread_local!(static CORPORA: Vec<Corpus> = Corpus::all());
        CORPORA.with(|corpora| {
            let corpus = &corpora[major];
            let trees: Vec<_> = corpus.trees.values().filter(|tree| tree.len() < 20_000).collect();
            let text = trees[tree.index(trees.len())].replace('\n', " ");
            let mut tokens: Vec<&str> = text.split(' ').collect();
            for (at, other, change) in changes {
                let (at, other) = (at.index(tokens.len()), other.index(tokens.len()));
                match change {
                    0 => tokens.swap(at, other),
                    1 => drop(tokens.remove(at)),
                    2 => tokens.insert(at, tokens[other]),
                    3 => tokens[at] = tokens[other],
                    4 => tokens[at] = ["0", "1", "2", "-1", "3", "<>", "true", "false", "4294967295", "\\", "(b 1)"][other % 11],
                    _ => tokens[at] = ["{", "}", "(", ")", ":", "\\}", "\"\"", "9223372036854775808"][other % 8],
                }
                if tokens.is_empty() {
                    tokens.push("");
                }
            }
            let _ = querytree::read(&tokens.join(" "), corpus.version);
        });
    }

    #[test]
    fn noise_never_panics(text in "[ -~\\n]{0,200}", brackets in "[(){}:<> a1\\\\\"\\n]{0,200}") {
        for version in ServerVersion::ALL {
            let _ = querytree::read(&text, version);
            let _ = querytree::read(&brackets, version);
        }
    }
}
