//! The words that releases and changes are made of.

/// Products by model's portfolio, each with what its releases bring.
pub const PRODUCTS: &[&[(&str, &[&str])]] = &[
    &[
        ("Instant payments hub", &["request to pay", "verification of payee", "new scheme rulebook", "bulk files"]),
        ("Card authorisation", &["contactless limits", "network tokens", "stand-in processing", "3-D Secure update"]),
        ("Payment gateway", &["merchant refunds", "retry of declined payments", "TLS hardening", "wallet support"]),
        (
            "Settlement engine",
            &["second settlement cycle", "reconciliation report", "holiday calendar", "faster cut-off"],
        ),
        ("Fraud scoring", &["new model", "device fingerprints", "velocity rules", "case export"]),
        ("Direct debit engine", &["mandate amendments", "return codes", "pre-notification", "creditor checks"]),
    ],
    &[
        ("Mobile app", &["biometric login", "savings goals", "push notifications", "accessibility fixes"]),
        ("Web banking", &["new dashboard", "statement search", "session handling", "dark mode"]),
        ("Customer portal", &["document upload", "appointment booking", "complaints form", "chat"]),
        ("Public web site", &["cookie consent", "rate tables", "branch finder", "campaign pages"]),
        ("Onboarding journey", &["video identification", "address check", "minor accounts", "shorter form"]),
    ],
    &[
        (
            "Container platform",
            &["new minor version", "node pool replacement", "ingress controller", "admission policies"],
        ),
        ("Database cluster", &["major version", "storage extension", "replica in second site", "security patches"]),
        ("Linux servers", &["monthly patches", "kernel update", "certificate renewal", "log agent"]),
        ("Windows servers", &["monthly patches", "domain controller update", "backup agent", "print service"]),
        ("Storage array", &["firmware", "controller replacement", "tiering policy", "capacity extension"]),
        ("Monitoring", &["new alert rules", "agent roll-out", "longer retention", "on-call integration"]),
    ],
    &[
        ("Core switches", &["firmware", "spanning-tree clean-up", "uplinks to 100G", "line cards"]),
        ("Branch routers", &["SD-WAN pilot", "firmware", "second line", "quality of service"]),
        ("Perimeter firewall", &["rule base clean-up", "new cluster", "TLS inspection", "partner tunnels"]),
        ("Wireless network", &["guest portal", "new access points", "certificate login", "controller update"]),
    ],
];

/// What the users expect, by portfolio.
pub const CRITERIA: &[&[&str]] = &[
    &[
        "Payments are accepted within two seconds in every channel",
        "The reconciliation of the first day shows no difference",
        "Declined payments show the reason of the scheme",
        "Reports for the regulator are complete",
    ],
    &[
        "Customers log in with the credentials that they have",
        "Pages load within three seconds on a mobile line",
        "The contrast of all texts meets the accessibility guideline",
        "The help desk has the new screens in its guide",
    ],
    &[
        "No service was down for longer than announced",
        "Backups of the first night are complete",
        "Response times are not worse than in the week before",
        "The inventory shows the new version on every node",
    ],
    &[
        "All branches are reachable over both lines",
        "Voice quality is not worse than before",
        "Monitoring shows no errors on the new ports",
    ],
];

/// Tags by portfolio.
pub const TAGS: &[&[&str]] = &[
    &["payments", "pci", "sepa", "regulatory", "quarter-end"],
    &["mobile", "web", "customer-facing", "accessibility", "campaign"],
    &["platform", "patching", "end-of-support", "capacity", "security"],
    &["network", "branches", "security", "lines"],
];

/// Requesters without an account.
pub const OUTSIDERS: &[(&str, &str)] = &[
    ("Marta Oliveira", "marta.oliveira@supplier.example"),
    ("Peter Lang", "peter.lang@clearing.example"),
    ("Yuki Sato", "yuki.sato@schemes.example"),
    ("Daniel Roth", "daniel.roth@auditors.example"),
    ("Claire Dubois", "claire.dubois@partner.example"),
];

/// Why a release is needed.
pub const REASONS: &[&str] = &[
    "Asked for by the business in the quarterly planning.",
    "Closes findings of the last audit.",
    "The version in production is out of support at the end of the quarter.",
    "Corrects incidents that were reported again and again.",
    "Required by the scheme for all participants.",
    "Prepares the move to the second data centre.",
];

/// Words of those who plan.
pub const PLANS: &[&str] = &[
    "Deployment by the runbook of the last release; rollback within thirty minutes by switching back.",
    "One node after the other, with health checks in between; rollback by the previous image.",
    "Pilot with ten per cent of the users for one hour, then everybody.",
    "Database first, then the application; the old version runs on the new schema.",
];

/// Words with a step forwards.
pub const STEPS: &[&str] = &[
    "As planned.",
    "Reviewed with the team in the morning call.",
    "Runbook followed, no deviation.",
    "All checks green.",
];

/// Words of a requester with a step forwards.
pub const SIGNED: &[&str] = &["Agreed in the weekly meeting.", "Go ahead.", "Checked with the branches."];

/// Words when a release waits.
pub const WAITS: &[&str] = &[
    "No deployments until the books are closed.",
    "The vendor names a date by the end of the week.",
    "The acceptance environment is free again on Monday.",
    "The requester checks the scope with the branches.",
];

/// Words when a release goes back.
pub const RETURNS: &[&str] = &[
    "The rollback is described but was never tried.",
    "Two regression tests fail; the fix needs a new build.",
    "The window collides with the night batch.",
    "The communication to the branches is missing.",
];

/// Closing words of releases that did what they promised.
pub const SOLVED: &[&str] = &[
    "Live without incidents; monitoring quiet for two days.",
    "Deployed as planned, accepted by the business.",
    "Small delay in the second step, no effect on users.",
    "All sites done; documentation updated.",
];

/// Closing words of releases that did not.
pub const UNSOLVED: &[&str] = &[
    "Error rate rose after the switch; rolled back within the window.",
    "The migration took longer than the window allows; taken back.",
    "The vendor's package was incomplete; nothing remains in production.",
];

/// Closing words of releases that were given up.
pub const GIVEN_UP: &[&str] = &[
    "The business dropped the request.",
    "Goes along with the next quarterly release.",
    "Replaced by a configuration change.",
];

/// Words when a closed release comes back.
pub const BACK: &[&str] = &[
    "Users of three branches report the old error again.",
    "The overnight report shows differences since the deployment.",
    "Two sites still run the previous version.",
];

/// How a requester's word reached a manager.
pub const AGREED: &[&str] = &[
    "Agreed on the phone, the requester is travelling.",
    "Confirmed by e-mail, kept with the release.",
    "Said so in the steering meeting.",
];
