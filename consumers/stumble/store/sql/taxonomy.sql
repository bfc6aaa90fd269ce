-- Exception classes of failures with blame UNKNOWN. Only Nova's own exceptions have a code.
-- name: load_unknown_exceptions
select exception, bool_or(code is not null) as has_code, count(*), min(occurred_at), max(occurred_at),
       (array_agg(distinct action))[1:5]
from failures
where blame = 'UNKNOWN'
group by exception
order by count(*) desc, exception
