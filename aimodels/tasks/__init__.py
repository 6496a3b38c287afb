"""What is learned: a model with its loss and its metrics."""

# Short name in a config -> class.
TASKS: dict[str, str] = {
    "classification": "aimodels.tasks.classification:Classification",
    "sequence_classification": "aimodels.tasks.sequence_classification:SequenceClassification",
    "sequence_answers": "aimodels.tasks.sequence_answers:SequenceAnswers",
    "frame_prediction": "aimodels.tasks.frame_prediction:FramePrediction",
    "iterative_pruning": "aimodels.tasks.pruning:IterativePruning",
    "simclr": "aimodels.tasks.simclr:SimCLR",
    "masked_language_model": "aimodels.tasks.masked_language_model:MaskedLanguageModel",
    "text_to_text": "aimodels.tasks.text_to_text:TextToText",
    "language_model": "aimodels.tasks.language_model:LanguageModel",
    "mc_dropout_regression": "aimodels.tasks.regression:MCDropoutRegression",
    "regression": "aimodels.tasks.regression:Regression",
    "segmentation": "aimodels.tasks.segmentation:Segmentation",
    "ssd": "aimodels.tasks.detection:SSDDetection",
    "yolov1": "aimodels.tasks.detection:YOLOv1Detection",
    "yolov3": "aimodels.tasks.detection:YOLOv3Detection",
    "faster_rcnn": "aimodels.tasks.faster_rcnn:FasterRCNNDetection",
    "dqn": "aimodels.agents.dqn:DQN",
    "tabular": "aimodels.agents.tabular:Tabular",
    "reinforce": "aimodels.agents.reinforce:Reinforce",
    "actor_critic_traces": "aimodels.agents.actor_critic_traces:ActorCriticTraces",
    "a2c": "aimodels.agents.a2c:A2C",
    "alphazero": "aimodels.agents.alphazero:AlphaZero",
    "ppo": "aimodels.agents.ppo:PPO",
}
