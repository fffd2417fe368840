import type { Accepted, ConversationDetail, Message } from '../api/types.ts'
import type { AttachedFile } from '../attachments/useAttachments.ts'

/** A message of the user and its reply. */
export interface Turn {
  executionId: string
  /** Absent when only the reply is among the newest messages that the server returns. */
  question?: Message
  reply?: Message
  /** How many turns must finish before this one may run; undefined after it has finished. */
  ahead?: number
}

/** Groups messages by turn. A later question may precede an earlier reply. */
export function turnsOf({ messages, pending }: ConversationDetail): Turn[] {
  const turns = new Map<number, Turn>()
  for (const message of messages) {
    const turn = turns.get(message.turn) ?? { executionId: message.executionId }
    turn[message.role === 'user' ? 'question' : 'reply'] = message
    turns.set(message.turn, turn)
  }
  for (const turn of turns.values()) {
    const ahead = pending.indexOf(turn.executionId)
    if (ahead >= 0 && turn.reply === undefined) {
      turn.ahead = ahead
    }
  }
  return [...turns.entries()].sort(([a], [b]) => a - b).map(([, turn]) => turn)
}

/** Adds a message that the server has just accepted, for the time until the conversation is read again. */
export function withAccepted(
  detail: ConversationDetail | undefined,
  accepted: Accepted,
  sent: { text: string; files?: AttachedFile[] | undefined; agentId?: string | undefined },
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
    messages: [
      ...before.messages,
      {
        ...{ turn, role: 'user', text: sent.text, executionId, createdAt: now },
        ...(sent.files && { files: sent.files.map((file) => ({ ...file, sha256: '' })) }),
      },
    ],
    pending: [...before.pending, executionId],
  }
}
