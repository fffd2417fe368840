import { expect, test } from 'vitest'
import type { TranscriptItem } from '../api/types.ts'
import { entriesOf, type Entry } from './grouping.ts'

/** Numbers items, and gives them a time. */
function items(...list: (Partial<TranscriptItem> & { type: string })[]): TranscriptItem[] {
  return list.map((item, i) => ({ number: i + 1, attempt: 1, time: '2026-01-02T03:04:05Z', ...item }))
}

/** Writes entries as text: a tool with its result in brackets, and its children in parentheses. */
function outline(entries: Entry[]): string {
  return entries
    .map((entry) => {
      if ('item' in entry) {
        return entry.item.text
      }
      const children = entry.children.length > 0 ? `(${outline(entry.children)})` : ''
      return `${entry.call?.tool ?? '?'}[${entry.result?.text ?? ''}]${children}`
    })
    .join(' ')
}

function outlineOf(list: TranscriptItem[]): string[] {
  return entriesOf(list).map(
    ({ number, entries, end }) => `${number}: ${outline(entries)} / ${end?.text ?? ''}`,
  )
}

test('a result belongs to its call, also if others are between', () => {
  const list = items(
    { type: 'tool_call', call: 'a', tool: 'A' },
    { type: 'tool_call', call: 'b', tool: 'B' },
    { type: 'text', text: 'hello' },
    { type: 'tool_result', call: 'b', text: 'of b' },
    { type: 'tool_result', call: 'a', text: 'of a' },
    { type: 'end', text: 'succeeded' },
  )
  expect(outlineOf(list)).toEqual(['1: A[of a] B[of b] hello / succeeded'])
})

test('what a sub-agent does is under the call that started it, at any depth', () => {
  const list = items(
    { type: 'tool_call', call: 'a', tool: 'Task' },
    { type: 'text', text: 'sub', parent: 'a' },
    { type: 'tool_call', call: 'b', tool: 'Inner', parent: 'a' },
    { type: 'text', text: 'main' },
    { type: 'text', text: 'deep', parent: 'b' },
    { type: 'tool_result', call: 'b', text: 'r', parent: 'a' },
  )
  expect(outlineOf(list)).toEqual(['1: Task[](sub Inner[r](deep)) main / '])
})

test('what belongs to a call before the first item is not lost', () => {
  const list = items(
    { type: 'tool_result', call: 'a', text: 'late' },
    { type: 'text', text: 'sub', parent: 'b' },
    { type: 'tool_result', call: 'b', text: 'end of b' },
  )
  expect(outlineOf(list)).toEqual(['1: ?[late] ?[end of b](sub) / '])
})

test('attempts are apart, also with the same calls', () => {
  const list = items(
    { type: 'tool_call', call: 'a', tool: 'A' },
    { type: 'tool_call', call: 'a', tool: 'A', attempt: 2 },
    { type: 'tool_result', call: 'a', text: 'r', attempt: 2 },
    { type: 'end', text: 'succeeded', attempt: 2 },
  )
  expect(outlineOf(list)).toEqual(['1: A[] / ', '2: A[r] / succeeded'])
})

test('an agent cannot make a circle, or hide a call behind another', () => {
  const list = items(
    { type: 'tool_call', call: 'a', tool: 'Self', parent: 'a' },
    { type: 'tool_call', call: 'b', tool: 'B', parent: 'c' },
    { type: 'tool_call', call: 'c', tool: 'C', parent: 'b' },
    { type: 'tool_call', call: 'a', tool: 'Again' },
    { type: 'tool_call', tool: 'Nameless' },
  )
  expect(outlineOf(list)).toEqual(['1: Self[] C[](B[]) Again[] Nameless[] / '])
  const keys = entriesOf(list)[0]?.entries.map(({ key }) => key) ?? []
  expect(new Set(keys).size).toBe(keys.length)
})
