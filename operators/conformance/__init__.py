"""The check of an operator's test stand: does it keep to the protocol that its adapter speaks?"""
