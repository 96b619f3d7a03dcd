"""What a question may be made of. What is not listed is refused, so that a new release of PostgreSQL adds nothing by itself.

Functions are those that compute from their arguments alone, the clock and chance. Left out on purpose: whatever reads settings, sessions, files
or the system catalogue, takes locks, sleeps, writes, or runs a query that it gets as text (`query_to_xml`, `ts_stat`, `ts_rewrite`).
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NODES = _words(
    """
    RawStmt SelectStmt WithClause CommonTableExpr CTESearchClause CTECycleClause
    ResTarget ColumnRef A_Star A_Const Integer Float Boolean String BitString ParamRef
    A_Expr BoolExpr NullTest BooleanTest CaseExpr CaseWhen CoalesceExpr MinMaxExpr SubLink
    FuncCall NamedArgExpr SQLValueFunction GroupingFunc GroupingSet WindowDef SortBy
    TypeCast TypeName CollateClause A_ArrayExpr A_Indices A_Indirection RowExpr
    RangeVar RangeSubselect RangeFunction JoinExpr Alias ColumnDef
    JsonAggConstructor JsonArgument JsonArrayAgg JsonArrayConstructor JsonArrayQueryConstructor JsonBehavior JsonFormat
    JsonFuncExpr JsonIsPredicate JsonKeyValue JsonObjectAgg JsonObjectConstructor JsonOutput JsonParseExpr JsonReturning
    JsonScalarExpr JsonSerializeExpr JsonTable JsonTableColumn JsonTablePathSpec JsonValueExpr
    """
)

_AGGREGATES = """
    any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every json_agg json_agg_strict
    json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict jsonb_agg jsonb_agg_strict jsonb_object_agg
    jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict max min mode percentile_cont percentile_disc range_agg
    range_intersect_agg regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop
    stddev_samp string_agg sum var_pop var_samp variance
    """
_WINDOW = "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number"
_NUMBERS = """
    abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees div erf erfc exp
    factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod pi pow power radians random random_normal round scale sign sin sind sinh
    sqrt tan tand tanh trim_scale trunc width_bucket to_bin to_hex to_oct numeric int2 int4 int8 float4 float8
    """
_TEXTS = """
    ascii bit_length btrim casefold char_length character_length chr concat concat_ws convert convert_from convert_to crc32 crc32c decode
    encode format get_bit get_byte initcap is_normalized left length like_escape lower lpad ltrim md5 normalize octet_length overlay
    parse_ident position quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches
    regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim set_bit set_byte sha224
    sha256 sha384 sha512 similar_to_escape split_part starts_with string_to_array string_to_table strpos substr substring to_ascii to_char
    to_number translate unicode_assigned unistr upper text varchar bpchar bit_count
    """
_TIMES = """
    age clock_timestamp date date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days justify_hours
    justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps statement_timestamp time timeofday
    timestamp timestamptz timetz timezone to_date to_timestamp transaction_timestamp interval
    """
_JSON = """
    array_to_json json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each json_each_text
    json_extract_path json_extract_path_text json_object json_object_keys json_populate_record json_populate_recordset json_strip_nulls
    json_to_record json_to_recordset json_typeof jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
    jsonb_build_object jsonb_concat jsonb_contains jsonb_delete jsonb_delete_path jsonb_each jsonb_each_text jsonb_exists jsonb_exists_all
    jsonb_exists_any jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists
    jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz
    jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record jsonb_populate_record_valid
    jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof
    row_to_json to_json to_jsonb
    """
_ARRAYS = """
    array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions array_prepend
    array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_string array_upper arraycontained
    arraycontains arrayoverlap cardinality generate_series generate_subscripts trim_array unnest
    """
_RANGES = """
    daterange datemultirange int4multirange int4range int8multirange int8range isempty lower_inc lower_inf multirange nummultirange numrange
    range_merge tsmultirange tsrange tstzmultirange tstzrange upper_inc upper_inf
    """
_SHAPES = """
    area bound_box box center circle diagonal diameter height isclosed ishorizontal isopen isparallel isperp isvertical line lseg npoints
    path pclose point polygon popen radius slope width
    """
_WORDS = """
    array_to_tsvector json_to_tsvector jsonb_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery
    to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsquery_phrase tsvector_to_array websearch_to_tsquery
    """
_OTHERS = """
    abbrev broadcast family gen_random_uuid host hostmask inet_merge inet_same_family macaddr8_set7bit masklen netmask network num_nonnulls
    num_nulls pg_column_size pg_input_is_valid pg_size_bytes pg_size_pretty pg_typeof set_masklen uuid_extract_timestamp
    uuid_extract_version uuidv4 uuidv7
    """
FUNCTIONS = _words(" ".join((_AGGREGATES, _WINDOW, _NUMBERS, _TEXTS, _TIMES, _JSON, _ARRAYS, _RANGES, _SHAPES, _WORDS, _OTHERS)))

# Not the reg* types, which look names up in the system catalogue, nor those of transactions, cursors, rights and XML.
TYPES = _words(
    """
    bit bool box bpchar bytea char cidr circle date datemultirange daterange float4 float8 inet int2 int4 int4multirange int4range int8
    int8multirange int8range interval json jsonb jsonpath line lseg macaddr macaddr8 money name numeric nummultirange numrange path point
    polygon text time timestamp timestamptz timetz tsmultirange tsquery tsrange tstzmultirange tstzrange tsvector uuid varbit varchar
    """
)

# SQL's own words for the clock; its words for who and where (CURRENT_USER and the like) are not listed.
CLOCK = frozenset(
    f"SVFOP_{name}"
    for name in (
        "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIME_N", "CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP_N",
        "LOCALTIME", "LOCALTIME_N", "LOCALTIMESTAMP", "LOCALTIMESTAMP_N",
    )
)  # fmt: skip

# What people call the statements that they try most.
STATEMENTS = {
    "CreateTableAsStmt": "CREATE TABLE AS",
    "DeclareCursorStmt": "DECLARE",
    "TransactionStmt": "BEGIN, COMMIT and the like",
    "VariableSetStmt": "SET",
    "VariableShowStmt": "SHOW",
    "DoStmt": "DO",
    "CopyStmt": "COPY",
    "RangeTableSample": "TABLESAMPLE",
    "XmlExpr": "XML",
    "XmlSerialize": "XML",
    "RangeTableFunc": "XMLTABLE",
    "SetToDefault": "DEFAULT",
    "CurrentOfExpr": "WHERE CURRENT OF",
}
