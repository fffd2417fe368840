import { describe, expect, test } from 'vitest'
import { urlsOf } from '../../dev/standin.ts'
import type { ConversationDetail, Message } from '../api/types.ts'
import { turnsOf, withAccepted } from './turns.ts'

const at = '2026-01-01T00:00:00Z'

function message(turn: number, role: Message['role']): Message {
  return { turn, role, text: `${role} ${turn}`, executionId: `exe_${turn}`, createdAt: at }
}

function detail(messages: Message[], pending: string[] = []): ConversationDetail {
  const conversation = { id: 'con_1', title: 't', turns: messages.length, createdAt: at, updatedAt: at }
  return { conversation, messages, pending }
}

describe('turnsOf', () => {
  test('puts each reply below its question, also with messages between them', () => {
    const turns = turnsOf(
      detail([message(1, 'user'), message(2, 'user'), message(1, 'assistant')], ['exe_2']),
    )
    expect(turns).toMatchObject([
      { question: { text: 'user 1' }, reply: { text: 'assistant 1' } },
      { question: { text: 'user 2' }, ahead: 0 },
    ])
    expect(turns[0]).not.toHaveProperty('ahead')
  })

  test('counts the turns ahead', () => {
    const turns = turnsOf(
      detail(
        [1, 2, 3].map((turn) => message(turn, 'user')),
        ['exe_1', 'exe_2', 'exe_3'],
      ),
    )
    expect(turns.map(({ ahead }) => ahead)).toEqual([0, 1, 2])
  })

  test('keeps a reply whose question is no longer among the messages', () => {
    expect(turnsOf(detail([message(7, 'assistant')]))).toEqual([
      { executionId: 'exe_7', reply: message(7, 'assistant') },
    ])
  })

  test('treats a turn with a reply as finished, also while it is listed as pending', () => {
    const [turn] = turnsOf(detail([message(1, 'user'), message(1, 'assistant')], ['exe_1']))
    expect(turn).not.toHaveProperty('ahead')
  })
})

describe('withAccepted', () => {
  const accepted = {
    executionId: 'exe_9',
    conversationId: 'con_1',
    status: 'queued',
    urls: urlsOf('exe_9'),
  } as const

  test('adds a pending turn to a conversation', () => {
    const after = withAccepted(detail([message(1, 'user')], ['exe_1']), accepted, { text: 'more' }, at)
    expect(turnsOf(after)).toMatchObject([{ ahead: 0 }, { question: { text: 'more', turn: 2 }, ahead: 1 }])
  })

  test('starts a conversation', () => {
    const after = withAccepted(undefined, accepted, { text: 'hello', agentId: 'agt_1' }, at)
    expect(after.conversation).toMatchObject({ id: 'con_1', title: 'hello', turns: 1, agentId: 'agt_1' })
    expect(turnsOf(after)).toMatchObject([{ question: { text: 'hello' }, ahead: 0 }])
  })
})
