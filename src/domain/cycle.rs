//! Circles in what depends on what.

/// A circle among the edges, each node once; `None` where there is none. The edges are ordered.
pub fn first_cycle<N: Copy + Ord>(edges: &[(N, N)]) -> Option<Vec<N>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        OnPath,
        Done,
    }
    let mut nodes: Vec<N> = edges.iter().map(|(from, _)| *from).collect();
    nodes.dedup();
    let mut seen = vec![Seen::Never; nodes.len()];
    for start in 0..nodes.len() {
        if seen[start] != Seen::Never {
            continue;
        }
        // The path from the start, each node with the place of its next edge. A node without edges ends a path.
        let first_edge = |node: usize| edges.partition_point(|(from, _)| *from < nodes[node]);
        let mut path = vec![(start, first_edge(start))];
        seen[start] = Seen::OnPath;
        while let Some((node, edge)) = path.last_mut() {
            let target = edges.get(*edge).filter(|(from, _)| *from == nodes[*node]).map(|(_, to)| *to);
            let Some(target) = target else {
                seen[*node] = Seen::Done;
                path.pop();
                continue;
            };
            *edge += 1;
            let Ok(target) = nodes.binary_search(&target) else {
                continue;
            };
            match seen[target] {
                Seen::OnPath => {
                    let circle = path.iter().map(|(node, _)| *node).skip_while(|node| *node != target);
                    return Some(circle.map(|node| nodes[node]).collect());
                }
                Seen::Never => {
                    seen[target] = Seen::OnPath;
                    path.push((target, first_edge(target)));
                }
                Seen::Done => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_wherever_it_hides() {
        assert_eq!(first_cycle::<u8>(&[]), None);
        assert_eq!(first_cycle(&[(1, 1)]), Some(vec![1]));
        assert_eq!(first_cycle(&[(1, 2), (2, 1)]), Some(vec![1, 2]));
        assert_eq!(first_cycle(&[(1, 2), (1, 5), (2, 3), (3, 4), (4, 2), (5, 6)]), Some(vec![2, 3, 4]));
    }

    #[test]
    fn meeting_again_is_no_circle() {
        assert_eq!(first_cycle(&[(1, 2), (1, 3), (2, 4), (3, 4), (4, 5)]), None);
        let chain: Vec<(u32, u32)> = (0..100_000).map(|n| (n, n + 1)).collect();
        assert_eq!(first_cycle(&chain), None);
    }
}
