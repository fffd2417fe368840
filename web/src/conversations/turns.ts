import type { Accepted, ConversationDetail, Message } from '../api/types.ts'

/** A question and what became of it. */
export interface Turn {
  executionId: string
  /** Absent when only the reply is among the newest messages that the server gives. */
  question?: Message
  reply?: Message
  /** How many turns must end before this one may run; undefined when it has ended. */
  ahead?: number
}

/** Groups messages by turn: a later question may have been asked before an earlier reply came. */
export function turnsOf({ messages, pending }: ConversationDetail): Turn[] {
  const turns = new Map<number, Turn>()
  for (const message of messages) {
    const turn = turns.get(message.turn) ?? { executionId: message.executionId }
    turn[message.role === 'user' ? 'question' : 'reply'] = message
    turns.set(message.turn, turn)
  }
  for (const turn of turns.values()) {
    const place = pending.indexOf(turn.executionId)
    if (place >= 0 && turn.reply === undefined) {
      turn.ahead = place
    }
  }
  return [...turns.entries()].sort(([a], [b]) => a - b).map(([, turn]) => turn)
}

/** The conversation with a message that the server has just accepted, until it is read anew. */
export function withAccepted(
  detail: ConversationDetail | undefined,
  accepted: Accepted,
  sent: { text: string; agentId?: string | undefined },
  now: string,
): ConversationDetail {
  const before = detail ?? {
    conversation: {
      id: accepted.conversationId ?? '',
      title: sent.text.slice(0, 80),
      turns: 0,
      createdAt: now,
      updatedAt: now,
      ...(sent.agentId === undefined ? {} : { agentId: sent.agentId }),
    },
    messages: [],
    pending: [],
  }
  const turn = before.conversation.turns + 1
  const { executionId } = accepted
  return {
    conversation: { ...before.conversation, turns: turn, updatedAt: now },
    messages: [...before.messages, { turn, role: 'user', text: sent.text, executionId, createdAt: now }],
    pending: [...before.pending, executionId],
  }
}
