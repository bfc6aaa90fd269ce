-- Classes of failures that nothing says whose problem they are. Only Nova's own exceptions bring a code along.
-- name: unblamed_exceptions
select exception, bool_or(code is not null) as has_code, count(*), min(occurred_at), max(occurred_at),
       (array_agg(distinct action))[1:5]
from failures
where blame = 'UNKNOWN'
group by exception
order by count(*) desc, exception
