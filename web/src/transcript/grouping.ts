import type { TranscriptItem } from '../api/types.ts'

/** What one attempt said and did. */
export interface AttemptEntries {
  number: number
  entries: Entry[]
  /** How it ended; undefined while it runs, or if its executor was lost. */
  end: TranscriptItem | undefined
}

/** One thing that the page shows: a tool call with all that belongs to it, or any other item. */
export type Entry = ToolEntry | { key: string; item: TranscriptItem }

/** A tool call, its result, and what the sub-agent said and did that the call has started. */
export interface ToolEntry {
  key: string
  /** Undefined if the call is older than the items that the page has. */
  call: TranscriptItem | undefined
  /** Undefined while the tool runs, or if the attempt ended before. */
  result: TranscriptItem | undefined
  children: Entry[]
}

/** Groups items by attempt, results with their calls, and items of sub-agents with the calls that started them. */
export function entriesOf(items: TranscriptItem[]): AttemptEntries[] {
  const attempts: AttemptBuilder[] = []
  for (const item of items) {
    let current = attempts.at(-1)
    if (current?.number !== item.attempt) {
      current = new AttemptBuilder(item.attempt)
      attempts.push(current)
    }
    current.add(item)
  }
  return attempts
}

class AttemptBuilder implements AttemptEntries {
  readonly number: number
  readonly entries: Entry[] = []
  end: TranscriptItem | undefined
  private readonly tools = new Map<string, ToolEntry>()

  constructor(number: number) {
    this.number = number
  }

  add(item: TranscriptItem): void {
    switch (item.type) {
      case 'end':
        this.end = item
        return
      case 'tool_call':
        if (this.tools.get(item.call ?? '')?.call) {
          this.tools.delete(item.call ?? '') // an agent that repeats an ID means another call
        }
        this.tool(item).call = item
        return
      case 'tool_result':
        this.tool(item).result = item
        return
      default:
        this.siblings(item).push({ key: `${item.number}`, item })
    }
  }

  /** Returns the entry of the call that an item names. */
  private tool({ call = '', parent, number }: TranscriptItem): ToolEntry {
    return this.tools.get(call) ?? this.addTool(call, `tool ${number}`, this.siblings({ parent, call }))
  }

  /** Returns where an entry goes: under the call that started its sub-agent, or to the attempt's own. */
  private siblings({ parent, call }: { parent?: string | undefined; call?: string | undefined }): Entry[] {
    if (parent === undefined || parent === call) {
      return this.entries
    }
    const tool = this.tools.get(parent) ?? this.addTool(parent, `parent ${parent}`, this.entries)
    return tool.children
  }

  private addTool(call: string, key: string, siblings: Entry[]): ToolEntry {
    const tool: ToolEntry = { key, call: undefined, result: undefined, children: [] }
    this.tools.set(call, tool)
    siblings.push(tool)
    return tool
  }
}
