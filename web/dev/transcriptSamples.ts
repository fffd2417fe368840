import type { NewItem } from './transcripts.ts'

/** Returns the transcript of the scenario that a word of an input selects; empty if none. */
export function transcriptOf(input: string): NewItem[] {
  if (input.includes('coding')) {
    return timed(codingAgent)
  }
  if (input.includes('canceled')) {
    return timed(canceledRun)
  }
  if (input.includes('killed')) {
    return timed(killedAttempt)
  }
  return input.includes('endless') ? timed(endlessLog()) : []
}

function call(id: string, tool: string, input: unknown, parent?: string): NewItem {
  return { type: 'tool_call', call: id, tool, input, ...(parent !== undefined && { parent }) }
}

function result(id: string, text: string, more: Partial<NewItem> = {}): NewItem {
  return { type: 'tool_result', call: id, text, ...more }
}

const failedTests = `--- FAIL: TestParse (0.00s)
    parse_test.go:41: Parse("1h") = 0s, want 1h0m0s
FAIL
FAIL\texample.org/clock\t0.004s`

const codingAgent: NewItem[] = [
  {
    type: 'thinking',
    text: 'The tests fail. First I should see which ones, and only then read the parser.\n\nIt may be the unit.',
  },
  { type: 'text', text: 'I run the tests first, to see what fails.' },
  call('t1', 'Bash', { command: 'go test ./...\ngit status --short', description: 'Run the tests' }),
  result('t1', failedTests, { isError: true }),
  { type: 'text', text: 'Hours are not parsed. I let a sub-agent find all callers while I fix `parse.go`.' },
  call('t2', 'Task', { description: 'Find callers of Parse', prompt: 'List all callers of clock.Parse.' }),
  call('t3', 'Grep', { pattern: 'clock\\.Parse\\(', path: '/workspace' }, 't2'),
  result('t3', 'cmd/main.go:12\ninternal/timer/timer.go:40', { parent: 't2' }),
  { type: 'text', text: 'There are two callers. Both handle errors.', parent: 't2' },
  result('t2', 'Two callers: cmd/main.go:12 and internal/timer/timer.go:40.'),
  { type: 'retry', text: 'the model is busy (status 529), next try in 15 s' },
  call('t4', 'Read', {
    file_path: '/workspace/internal/clock/with/a/rather/long/path/to/parse.go',
    limit: 60,
  }),
  result('t4', 'package clock\n\nfunc Parse(s string) (time.Duration, error) {', { truncated: true }),
  call('t5', 'Edit', {
    file_path: '/workspace/internal/clock/parse.go',
    old_string: "case 'm':\n\treturn n * time.Minute, nil",
    new_string: "case 'm':\n\treturn n * time.Minute, nil\ncase 'h':\n\treturn n * time.Hour, nil",
    replace_all: false,
  }),
  result('t5', 'The file has been updated.'),
  call('t6', 'Bash', { command: 'go test ./...' }),
  result('t6', 'ok  \texample.org/clock\t0.005s'),
  {
    type: 'text',
    text: 'All tests pass. <b>Parse</b> now knows hours:\n\n  - `1h` is one hour\n  - `90m` is as before',
  },
  { type: 'end', text: 'succeeded' },
]

const canceledRun: NewItem[] = [
  { type: 'text', text: 'I compare the two reports.' },
  call('t1', 'Bash', { command: 'sleep 600 && diff -r /workspace/a /workspace/b' }),
  { type: 'end', text: 'canceled: The execution was canceled.' },
]

const killedAttempt: NewItem[] = [
  { type: 'text', text: 'I fetch the numbers.' },
  call('t1', 'WebFetch', { url: 'https://example.org/numbers.csv', prompt: 'Return the table.' }),
  ...[
    { type: 'notice', text: '3 items are missing here.' },
    { type: 'text', text: 'I begin again, with the numbers of the cache.' },
    call('t2', 'Read', { file_path: '/workspace/numbers.csv' }),
    result('t2', '1,2,3'),
    { type: 'text', text: 'The sum is 6.' },
    { type: 'end', text: 'succeeded' },
  ].map((item) => ({ ...item, attempt: 2 })),
]

/** A transcript of several MiB, which the page shows in parts. */
function endlessLog(): NewItem[] {
  const lines = Array.from({ length: 12_000 }, (_, i) => ({
    type: 'output',
    text: `line ${i + 1} ${'of a log '.repeat(i % 60)}`,
  }))
  return [...lines, { type: 'end', text: 'succeeded' }]
}

/** Gives each item a time, some seconds after the one before. */
function timed(items: NewItem[]): NewItem[] {
  const start = Date.now() - items.length * 2300
  return items.map((item, i) => ({ ...item, time: new Date(start + i * 2300).toISOString() }))
}
