import { describe, expect, test } from 'vitest'
import { fieldsOf, summaryOf, textOf } from './toolInput.ts'

describe('the main input of a tool call', () => {
  test.each<[unknown, string]>([
    [{ description: 'Run the tests', command: 'go test ./...' }, 'go test ./...'],
    [{ command: 'one\ntwo' }, 'one …'],
    [{ limit: 3, file_path: '/a.go' }, '/a.go'],
    [{ path: '/src', pattern: 'x+' }, 'x+'],
    [{ depth: 1, unknown: 'the first text' }, 'the first text'],
    [{ command: 7 }, ''],
    [{ todos: [] }, ''],
    ['{"command":"cut', '{"command":"cut'],
    [undefined, ''],
    [null, ''],
    [[1], ''],
    [{ command: 'x'.repeat(300) }, `${'x'.repeat(200)} …`],
  ])('of %j is %j', (input, summary) => {
    expect(summaryOf(input)).toBe(summary)
  })
})

test('the fields of an input are texts and JSON', () => {
  const fields = fieldsOf({ command: 'a\nb', list: [1] })
  expect(fields.map(({ name, value }) => [name, textOf(value)])).toEqual([
    ['command', 'a\nb'],
    ['list', '[\n  1\n]'],
  ])
  expect(fieldsOf('cut')).toEqual([{ name: '', value: 'cut' }])
})
