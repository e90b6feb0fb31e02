//! One connection to PostgreSQL: diesel's queries over the driver, with the SQLSTATE of what fails.
//!
//! diesel-async brings a connection of its own, whose errors keep the words of PostgreSQL and lose its code. The words are in
//! the language of the server (`lc_messages`), so nothing can be decided by them. This connection keeps the code
//! ([`sqlstate`](super::sqlstate)), and knows by itself when it is of no more use.
//!
//! Behind a pooler that divides its connections by transactions the next statement may meet another server process, which has
//! prepared nothing. There each statement is sent whole ([`Prepares::Never`]).

use std::{
    collections::HashMap,
    fmt, io,
    num::NonZeroU32,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use diesel::{
    QueryResult,
    pg::{Pg, PgMetadataLookup, PgQueryBuilder, PgTypeMetadata, PgValue},
    query_builder::{AsQuery, QueryBuilder, QueryFragment, QueryId, bind_collector::RawBytesBindCollector},
    row::{Field, PartialRow, Row, RowIndex, RowSealed},
};
use diesel_async::{AsyncConnectionCore, SimpleAsyncConnection};
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream::BoxStream};
use tokio_postgres::{
    Client, RowStream, Statement,
    types::{FromSql, IsNull, ToSql, Type, private::BytesMut},
};

use super::{cancel::Canceller, sqlstate::Trouble};

/// Whether statements are prepared once a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prepares {
    Once,
    Never,
}

/// What the connections of one [`Database`](super::Database) share.
#[derive(Default)]
pub(super) struct Fleet {
    /// Statements sent since the start.
    pub(super) statements: AtomicU64,
    /// How often a server turned out to be of no more use. A connection made before the last time is not used again: it
    /// leads to the same server.
    losses: AtomicU64,
}

pub(super) struct Conn {
    client: Client,
    prepares: Prepares,
    prepared: Mutex<HashMap<String, Statement>>,
    /// Set when the connection is lost.
    lost: Arc<AtomicBool>,
    fleet: Arc<Fleet>,
    /// The losses when it was made.
    made_after: u64,
    /// Statements that were sent.
    sent: AtomicU64,
    /// Statements that PostgreSQL answered, whatever it said.
    ended: AtomicU64,
    /// Of these, those that it carried out.
    answered: AtomicU64,
    canceller: Canceller,
}

impl Conn {
    /// `lost` is set by whoever drives the connection of `client`.
    pub(super) fn new(
        client: Client,
        prepares: Prepares,
        lost: Arc<AtomicBool>,
        canceller: Canceller,
        fleet: Arc<Fleet>,
    ) -> Self {
        let made_after = fleet.losses.load(Ordering::Relaxed);
        Self {
            client,
            prepares,
            prepared: Mutex::default(),
            lost,
            fleet,
            made_after,
            sent: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            canceller,
        }
    }

    /// Cancels the statement that PostgreSQL has not answered, if there is one. Nothing may be asked on it afterwards.
    pub(super) fn give_up(&self) {
        let is_running = self.ended.load(Ordering::Relaxed) < self.sent.load(Ordering::Relaxed);
        if is_running && !self.lost.load(Ordering::Relaxed) {
            self.canceller.start();
        }
    }

    /// Whether nothing more may be asked on it.
    pub(super) fn is_spent(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
            || self.client.is_closed()
            || self.made_after < self.fleet.losses.load(Ordering::Relaxed)
    }

    /// Statements that PostgreSQL answered on it.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Runs statements without parameters, whose rows nobody reads.
    pub(super) async fn run(&self, statements: &str) -> QueryResult<()> {
        self.count_sent();
        self.note(self.client.batch_execute(statements).await)
    }

    fn count_sent(&self) {
        self.fleet.statements.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// What became of a statement; keeps what it says of the connection.
    fn note<T>(&self, outcome: Result<T, tokio_postgres::Error>) -> QueryResult<T> {
        self.ended.fetch_add(1, Ordering::Relaxed);
        match outcome {
            Ok(value) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => {
                let trouble = Trouble::of(&error);
                if trouble.is_lost() {
                    self.lost.store(true, Ordering::Relaxed);
                    self.fleet.losses.fetch_max(self.made_after + 1, Ordering::Relaxed);
                }
                Err(diesel::result::Error::QueryBuilderError(Box::new(trouble)))
            }
        }
    }

    async fn prepare(&self, asked: &Asked) -> Result<Statement, tokio_postgres::Error> {
        let kept = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(&asked.text).cloned();
        if let Some(statement) = kept {
            return Ok(statement);
        }
        let types: Vec<Type> = asked.values.iter().map(|value| value.sort.clone()).collect();
        let statement = self.client.prepare_typed(&asked.text, &types).await?;
        if asked.keep {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            prepared.insert(asked.text.clone(), statement.clone());
        }
        Ok(statement)
    }

    async fn start(&self, asked: Asked) -> Result<RowStream, tokio_postgres::Error> {
        match self.prepares {
            Prepares::Once => {
                let statement = self.prepare(&asked).await?;
                self.client.query_raw(&statement, asked.values).await
            }
            Prepares::Never => {
                let values = asked.values.into_iter().map(|value| {
                    let sort = value.sort.clone();
                    (value, sort)
                });
                self.client.query_typed_raw(&asked.text, values).await
            }
        }
    }

    /// All rows, once the statement is done: what it changed is committed by then, unless it stands in a transaction.
    async fn rows(&self, asked: QueryResult<Asked>) -> QueryResult<Vec<tokio_postgres::Row>> {
        let asked = asked?;
        self.count_sent();
        let rows = async { self.start(asked).await?.try_collect().await };
        self.note(rows.await)
    }

    async fn count(&self, asked: QueryResult<Asked>) -> QueryResult<usize> {
        let asked = asked?;
        self.count_sent();
        let changed = async {
            let mut stream = std::pin::pin!(self.start(asked).await?);
            while stream.try_next().await?.is_some() {}
            Ok(stream.rows_affected().unwrap_or_default())
        };
        let changed = self.note(changed.await)?;
        usize::try_from(changed).map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))
    }
}

/// A statement with its values.
struct Asked {
    text: String,
    values: Vec<Value>,
    /// Whether it will come again.
    keep: bool,
}

impl Asked {
    fn of<T: QueryFragment<Pg>>(query: &T) -> QueryResult<Self> {
        let mut builder = PgQueryBuilder::default();
        query.to_sql(&mut builder, &Pg)?;
        let mut collector = RawBytesBindCollector::<Pg>::new();
        query.collect_binds(&mut collector, &mut OwnTypes, &Pg)?;
        let values = collector.metadata.into_iter().zip(collector.binds).map(|(metadata, octets)| {
            let oid = metadata.oid().map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
            let sort = Type::from_oid(oid).ok_or_else(|| {
                diesel::result::Error::SerializationError(format!("type {oid} is not one of PostgreSQL's own").into())
            })?;
            Ok(Value { sort, octets })
        });
        let values = values.collect::<QueryResult<_>>()?;
        Ok(Self { text: builder.finish(), values, keep: query.is_safe_to_cache_prepared(&Pg)? })
    }
}

/// The schema has no types of its own, so none is ever looked up.
struct OwnTypes;

impl PgMetadataLookup for OwnTypes {
    fn lookup_type(&mut self, _: &str, _: Option<&str>) -> PgTypeMetadata {
        // Of no type: the statement is refused with this number.
        PgTypeMetadata::new(0, 0)
    }
}

/// A value, as diesel made it for the wire.
struct Value {
    sort: Type,
    octets: Option<Vec<u8>>,
}

/// The driver logs what it sends.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.sort)
    }
}

impl ToSql for Value {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.octets {
            Some(octets) => {
                out.extend_from_slice(octets);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        sort: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        if *sort == self.sort {
            return self.to_sql(sort, out);
        }
        let why = format!("a value of type {} where PostgreSQL takes {sort}", self.sort);
        Err(io::Error::new(io::ErrorKind::InvalidInput, why).into())
    }
}

type Rows = BoxStream<'static, QueryResult<PgRow>>;

/// Statements may be sent one behind the other without waiting for answers, so a shared reference will do.
impl<'a> AsyncConnectionCore for &'a Conn {
    type LoadFuture<'conn, 'query> = BoxFuture<'a, QueryResult<Rows>>;
    type ExecuteFuture<'conn, 'query> = BoxFuture<'a, QueryResult<usize>>;
    type Stream<'conn, 'query> = Rows;
    type Row<'conn, 'query> = PgRow;
    type Backend = Pg;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Pg> + QueryId + 'query,
    {
        let conn: &'a Conn = self;
        let asked = Asked::of(&source.as_query());
        async move {
            let rows = conn.rows(asked).await?;
            let types: Arc<[NonZeroU32]> = rows.first().map(types).unwrap_or_default().into();
            let rows = rows.into_iter().map(move |row| Ok(PgRow { row, types: types.clone() }));
            Ok(futures_util::stream::iter(rows).boxed())
        }
        .boxed()
    }

    fn execute_returning_count<'conn, 'query, T>(&'conn mut self, source: T) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Pg> + QueryId + 'query,
    {
        let conn: &'a Conn = self;
        let asked = Asked::of(&source);
        async move { conn.count(asked).await }.boxed()
    }
}

impl SimpleAsyncConnection for &Conn {
    async fn batch_execute(&mut self, statements: &str) -> QueryResult<()> {
        self.run(statements).await
    }
}

fn types(row: &tokio_postgres::Row) -> Vec<NonZeroU32> {
    row.columns().iter().map(|column| NonZeroU32::new(column.type_().oid()).unwrap_or(NonZeroU32::MIN)).collect()
}

/// A row as diesel reads it.
pub(super) struct PgRow {
    row: tokio_postgres::Row,
    types: Arc<[NonZeroU32]>,
}

pub(super) struct PgField<'f> {
    row: &'f PgRow,
    place: usize,
}

/// The octets of a value.
struct Octets<'o>(Option<&'o [u8]>);

impl<'o> FromSql<'o> for Octets<'o> {
    fn from_sql(_: &Type, raw: &'o [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl RowSealed for PgRow {}

impl<'a> Row<'a, Pg> for PgRow {
    type Field<'f>
        = PgField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.row.len()
    }

    fn get<'f, I>(&'f self, place: I) -> Option<PgField<'f>>
    where
        'a: 'f,
        Self: RowIndex<I>,
    {
        Some(PgField { row: self, place: self.idx(place)? })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for PgRow {
    fn idx(&self, place: usize) -> Option<usize> {
        (place < self.row.len()).then_some(place)
    }
}

impl RowIndex<&str> for PgRow {
    fn idx(&self, name: &str) -> Option<usize> {
        self.row.columns().iter().position(|column| column.name() == name)
    }
}

impl Field<'_, Pg> for PgField<'_> {
    fn field_name(&self) -> Option<&str> {
        self.row.row.columns().get(self.place).map(tokio_postgres::Column::name)
    }

    fn value(&self) -> Option<PgValue<'_>> {
        let Octets(octets) = self.row.row.try_get(self.place).ok()?;
        Some(PgValue::new(octets?, self.row.types.get(self.place)?))
    }
}
