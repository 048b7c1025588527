//! How the value types of `domain/values.rs` are kept in columns, the same on both databases.

use std::fmt;
use std::io::Write;

use chrono::{NaiveDate, NaiveDateTime};
use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Text, Timestamp as SqlTimestamp};
use diesel::sqlite::{Sqlite, SqliteValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::MultiBackend;
use crate::domain::values::*;

macro_rules! kept_as_text {
    ($($name:ty),* $(,)?) => {$(
        impl FromSql<Text, Sqlite> for $name {
            fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
                Ok(value.read_text().parse()?)
            }
        }

        impl FromSql<Text, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(std::str::from_utf8(value.as_bytes())?.parse()?)
            }
        }

        impl FromSql<Text, MultiBackend> for $name {
            fn from_sql(value: <MultiBackend as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                Ok(<String as FromSql<Text, MultiBackend>>::from_sql(value)?.parse()?)
            }
        }

        impl ToSql<Text, Sqlite> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.to_string());
                Ok(IsNull::No)
            }
        }

        impl ToSql<Text, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                write!(out, "{self}")?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<Text, MultiBackend> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, MultiBackend>) -> serialize::Result {
                out.set_value((Text, self));
                Ok(IsNull::No)
            }
        }
    )*};
}

kept_as_text!(
    UserId,
    GroupId,
    UnitId,
    ContractId,
    CalendarId,
    JustificationId,
    SolutionCategoryId,
    PortfolioId,
    ModelId,
    WorkflowId,
    ReleaseId,
    ChangeId,
    ChangeLinkId,
    ActivityId,
    TimeEntryId,
    ActivityCommentId,
    ActivityPhase,
    ActivityStatus,
    ActivityKind,
    TransitionId,
    TokenId,
    SessionId,
    AuditId,
    EventId,
    CheckpointId,
    VoteId,
    ChecklistTemplateId,
    ChecklistId,
    DocumentId,
    DocumentClass,
    Status,
    ReleaseType,
    Level,
    Resolution,
    Action,
    GlobalRole,
    ModelStatus,
    ChangeStatus,
    ChangeOutcome,
    ReleaseRoleId,
    ReleaseRecordId,
    ReleaseShareId,
    ReleaseReferenceId,
    ReleaseCommentId,
    Origin,
    StageKind,
    Responsibility,
    RecordKind,
    ShareLevel,
    ReferenceKind,
    ApprovalKind,
    Decision,
    VoteState,
    VoterStanding,
    RoundCause,
    WorkflowOrigin,
    ConfigurationItemId,
    RelationshipId,
    ItemHistoryId,
    ImportId,
    ItemLinkId,
    WriteBackId,
    MediumId,
    MediumLinkId,
    SpareId,
    SpareLinkId,
    Environment,
    ItemStatus,
    RelationshipKind,
    RelationshipDirection,
    ImportedKind,
    ItemOrigin,
    ItemOutcome,
    WriteBackKind,
    WriteBackState,
    ImportFormat,
    ImportState,
    RowOutcome,
    MediumKind,
    MediumStatus,
    SpareStatus,
    ReservationState,
);

/// Reads `YYYY-MM-DD HH:MM:SS`, with a fraction or not, as SQLite keeps it.
fn instant(text: &str) -> Option<NaiveDateTime> {
    let (whole, fraction) = text.split_at_checked(19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, separator)| whole.as_bytes()[*at] != *separator) {
        return None;
    }
    let number = |from: usize, to: usize| whole.get(from..to)?.parse::<u32>().ok();
    let nanos = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        Some(digits) if digits.len() <= 9 => {
            digits.parse::<u32>().ok()? * 10_u32.pow(9 - u32::try_from(digits.len()).ok()?)
        }
        _ => return None,
    };
    NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)?).ok()?, number(5, 7)?, number(8, 10)?)?.and_hms_nano_opt(
        number(11, 13)?,
        number(14, 16)?,
        number(17, 19)?,
        nanos,
    )
}

impl FromSql<SqlTimestamp, Sqlite> for Timestamp {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        match instant(value.read_text()) {
            Some(at) => Ok(Self::from_naive(at)),
            None => <NaiveDateTime as FromSql<SqlTimestamp, Sqlite>>::from_sql(value).map(Self::from_naive),
        }
    }
}

impl FromSql<SqlTimestamp, Pg> for Timestamp {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        <NaiveDateTime as FromSql<SqlTimestamp, Pg>>::from_sql(value).map(Self::from_naive)
    }
}

impl FromSql<SqlTimestamp, MultiBackend> for Timestamp {
    fn from_sql(value: <MultiBackend as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        <NaiveDateTime as FromSql<SqlTimestamp, MultiBackend>>::from_sql(value).map(Self::from_naive)
    }
}

impl ToSql<SqlTimestamp, Sqlite> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        let Some(written) = self.written(b' ') else {
            return ToSql::<SqlTimestamp, Sqlite>::to_sql(self.naive(), out);
        };
        out.set_value(written.as_str().to_owned());
        Ok(IsNull::No)
    }
}

impl ToSql<SqlTimestamp, Pg> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<SqlTimestamp, Pg>::to_sql(self.naive(), out)
    }
}

impl ToSql<SqlTimestamp, MultiBackend> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, MultiBackend>) -> serialize::Result {
        out.set_value((SqlTimestamp, self));
        Ok(IsNull::No)
    }
}

impl<T: DeserializeOwned + fmt::Debug> FromSql<Text, Sqlite> for Json<T> {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(value.read_text())?))
    }
}

impl<T: DeserializeOwned + fmt::Debug> FromSql<Text, Pg> for Json<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_slice(value.as_bytes())?))
    }
}

impl<T: DeserializeOwned + fmt::Debug> FromSql<Text, MultiBackend> for Json<T> {
    fn from_sql(value: <MultiBackend as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(serde_json::from_str(&<String as FromSql<Text, MultiBackend>>::from_sql(value)?)?))
    }
}

impl<T: Serialize + fmt::Debug> ToSql<Text, Sqlite> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

impl<T: Serialize + fmt::Debug> ToSql<Text, Pg> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        serde_json::to_writer(out, &self.0)?;
        Ok(IsNull::No)
    }
}

impl<T: Serialize + fmt::Debug + Send + Sync + 'static> ToSql<Text, MultiBackend> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, MultiBackend>) -> serialize::Result {
        out.set_value((Text, self));
        Ok(IsNull::No)
    }
}
